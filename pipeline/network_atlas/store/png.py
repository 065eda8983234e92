"""Pictures as bytes: 8-bit PNG. Optimized pictures are stored in this form only, and measured from it."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

CHANNELS = "channels"
"""Keyword of the text that says how many channels are drawn side by side."""


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """Return a PNG of `pixels`, shape (rows, columns, channels) or (rows, columns).

    One channel is grey, three are colours. Any other number of channels is drawn side by side in grey, left to right;
    a text of the file, CHANNELS, says how many.
    """
    array, about = pixels, PngInfo()
    if pixels.ndim == 3 and pixels.shape[-1] != 3:
        array = pixels.transpose(0, 2, 1).reshape(len(pixels), -1)
        if pixels.shape[-1] > 1:
            about.add_text(CHANNELS, str(pixels.shape[-1]))
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(buffer, format="PNG", compress_level=6, pnginfo=about)
    return buffer.getvalue()


def side_by_side(data: bytes) -> int:
    """Return how many channels are drawn side by side in a PNG of `encode_png`: 1 for grey and for colours."""
    with Image.open(io.BytesIO(data)) as image:
        return int(image.info.get(CHANNELS, 1))


def decode_png(data: bytes, *, channels: int | None = None) -> NDArray[np.uint8]:
    """Return the pixels of a PNG, shape (rows, columns, channels); `channels` is needed if it is neither 1 nor 3."""
    with Image.open(io.BytesIO(data)) as image:
        pixels = np.asarray(image)
    if pixels.ndim == 3:
        return pixels
    return pixels.reshape(len(pixels), channels or 1, -1).transpose(0, 2, 1)
