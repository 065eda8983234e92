"""Bring a decoded image of any Pillow mode to RGB, as a person would see it.

    to_rgb(image)   # PIL image, mode RGB

Transparency is laid over white, and more than 8 bits of grey are scaled to 8. Embedded colour profiles are not
applied: networks are trained without them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from network_atlas.errors import UnreadableImageError, counted

SIXTEEN_TO_EIGHT_BITS = np.round(np.arange(65536) / 257).astype(np.uint8)
BITS_TAG, PHOTOMETRIC_TAG = 258, 262
"""TIFF's numbers of the tags that say how many bits a sample has, and what its values mean."""
WHITE_IS_ZERO = 0


def to_rgb(image: Image.Image) -> Image.Image:
    """Return the image as RGB; raise UnreadableImageError where a value is not a finite number."""
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return Image.fromarray(_grey(image)).convert("RGB")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _grey(image: Image.Image) -> NDArray[np.uint8]:
    """Return an image of wide grey values as 8 bits, (rows, columns)."""
    values = np.asarray(image)
    grey = _sixteen_bits(image, values) if image.mode.startswith("I;16") else _wide(values)
    # Pillow turns 1 and 8 bits round where a TIFF says that 0 is white, but no wider values.
    if _tiff_tag(image, PHOTOMETRIC_TAG) == WHITE_IS_ZERO:
        grey = 255 - grey
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):  # one value that stands for "nothing here"
        grey = np.where(values == transparent, np.uint8(255), grey)
    return grey


def _sixteen_bits(image: Image.Image, values: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Return up to 16 bits, (rows, columns), as 8."""
    if _tiff_tag(image, BITS_TAG) == 12:  # unpacked by Pillow, but not scaled
        return np.round(np.minimum(values, 4095) * (255 / 4095)).astype(np.uint8)
    return SIXTEEN_TO_EIGHT_BITS[values]


def _tiff_tag(image: Image.Image, number: int) -> int | None:
    """Return the first value of a TIFF's tag; None in other formats, and where there is no such number."""
    value = getattr(image, "tag_v2", {}).get(number)
    first = value[0] if isinstance(value, tuple) and value else value
    return first if isinstance(first, int) else None


def _wide(grey: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Return 32-bit integers or floats, (rows, columns), as 8 bits.

    The format does not say which value is white. Integers are taken as 16-bit (PGM files and older Pillows say so),
    floats as 0..1. An image that does not fit is stretched from its smallest to its largest value.
    """
    values = grey.astype(np.float64)
    broken = int(np.count_nonzero(~np.isfinite(values)))
    if broken:
        are = "is" if broken == 1 else "are"
        raise UnreadableImageError(f"{broken:,} of {counted(values.size, 'pixel')} {are} not finite (NaN or infinity)")
    low, high = float(values.min()), float(values.max())
    white = 65535.0 if grey.dtype.kind in "iu" else 1.0
    if low >= 0 and high <= white:
        low, high = 0.0, white
    # 1e-300: an image of one value outside the range has no spread, and becomes black.
    return np.round((values - low) * (255.0 / max(high - low, 1e-300))).astype(np.uint8)
