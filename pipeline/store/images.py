"""Pictures as bytes: 8-bit PNG, the one form in which optimized pictures are kept and measured."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """Return a PNG of `pixels`, shape (height, width, channels) with 1 or 3 channels, or (height, width)."""
    array = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[-1] == 1 else pixels
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(buffer, format="PNG", compress_level=6)
    return buffer.getvalue()


def decode_png(data: bytes) -> NDArray[np.uint8]:
    """Return the pixels of a PNG as (height, width, channels)."""
    with Image.open(io.BytesIO(data)) as image:
        pixels = np.asarray(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels
