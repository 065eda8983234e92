"""Pictures as bytes: 8-bit PNG, the one form in which optimized pictures are kept and measured."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """Return a PNG of `pixels`, shape (height, width, channels) or (height, width).

    One channel is grey, three are colours; any other number stands side by side in grey, from left to right.
    """
    array = pixels
    if pixels.ndim == 3 and pixels.shape[-1] != 3:
        array = pixels.transpose(0, 2, 1).reshape(len(pixels), -1)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(buffer, format="PNG", compress_level=6)
    return buffer.getvalue()


def decode_png(data: bytes, *, channels: int | None = None) -> NDArray[np.uint8]:
    """Return the pixels of a PNG as (height, width, channels); give `channels` for pictures of other than 1 or 3."""
    with Image.open(io.BytesIO(data)) as image:
        pixels = np.asarray(image)
    if pixels.ndim == 3:
        return pixels
    return pixels.reshape(len(pixels), channels or 1, -1).transpose(0, 2, 1)
