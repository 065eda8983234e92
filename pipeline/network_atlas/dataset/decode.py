"""Decode one image file into RGB, as a person would see it.

    decode(Path("scan.tif"), max_pixels=200_000_000)   # PIL image, mode RGB

The content decides the format, not the file's suffix (`dataset.image_formats`). The first frame of an animation is
taken, and EXIF orientation is applied; `dataset.colours` brings every mode to RGB.

Whatever is wrong with a file is an `UnreadableImageError` whose text is the reason, the same on every machine (without
paths and memory addresses). Errors that blame the machine (a dying disk, no file handles left, no permission) pass
through: the file may be fine.
"""

from __future__ import annotations

import errno
import io
import math
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from network_atlas.dataset.colours import to_rgb
from network_atlas.dataset.image_formats import FORMATS
from network_atlas.errors import UnreadableImageError

# What Pillow's readers raise on broken files, as found by its own fuzzing. UserWarning is for corrupt metadata; it is
# raised only where warnings are errors, and logged otherwise (`dataset.pillow_warnings`).
BROKEN_FILE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    AssertionError,
    EOFError,
    RuntimeError,
    struct.error,
    zlib.error,
    UserWarning,
)
BOMB = (Image.DecompressionBombError, Image.DecompressionBombWarning)
BROKEN_MACHINE = frozenset(
    {
        errno.EIO,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.ESTALE,
        errno.ETIMEDOUT,
        errno.ECONNRESET,
        errno.EACCES,
        errno.EPERM,
    }
)

ORIENTATION_TAG = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation to the operation that turns the image upright."""

# An image that is too large is refused and named in the failures; a warning as well would say it twice.
warnings.simplefilter("error", Image.DecompressionBombWarning)

_limit_lock = threading.Lock()
_limits: list[int] = []
_limit_saved: int | None = None


def decode(file: bytes | Path, *, max_pixels: int, side_min_px: int = 0) -> Image.Image:
    """Return the image in `file` (its bytes, or its path) as RGB, upright, over white.

    With `side_min_px`, a JPEG may come out at a half, a quarter or an eighth of its size, its shorter side never below
    that: its decoder then averages whole blocks, which saves time and memory.

    Raises UnreadableImageError if there is no such file, it is empty, truncated or not an image, or has more
    than `max_pixels` pixels; the size is read from the header, before anything is decoded.
    """
    try:
        with _open_file(file) as stream, pixel_limit(max_pixels):
            return _decode_stream(stream, max_pixels, side_min_px)
    except BOMB as error:
        raise UnreadableImageError(_too_large(max_pixels)) from error
    except BROKEN_FILE as error:
        if isinstance(error, OSError) and error.errno in BROKEN_MACHINE:
            raise
        raise UnreadableImageError(_reason(error)) from error


@contextmanager
def pixel_limit(max_pixels: int) -> Iterator[None]:
    """Replace Pillow's own limit by `max_pixels` for the time of a block.

    That limit is one global value. Threads inside at the same time get the largest of theirs, and the last to leave
    restores Pillow's. It is not lifted altogether: Pillow also compares parts of a file (a TIFF's tiles) with it.
    """
    global _limit_saved
    with _limit_lock:
        if not _limits:
            _limit_saved = Image.MAX_IMAGE_PIXELS
        _limits.append(max_pixels)
        Image.MAX_IMAGE_PIXELS = max(_limits)
    try:
        yield
    finally:
        with _limit_lock:
            _limits.remove(max_pixels)
            Image.MAX_IMAGE_PIXELS = max(_limits, default=_limit_saved)


def _open_file(file: bytes | Path) -> BinaryIO:
    return io.BytesIO(file) if isinstance(file, bytes) else file.open("rb")


def _decode_stream(stream: BinaryIO, max_pixels: int, side_min_px: int) -> Image.Image:
    if not stream.read(1):
        raise UnreadableImageError("the file is empty (0 bytes)")
    stream.seek(0)
    with Image.open(stream, formats=FORMATS) as image:
        _check_size(image.width, image.height, max_pixels)
        if side_min_px:
            _draft(image, side_min_px)
        image.load()
        method = UPRIGHT.get(_orientation(image))
        rgb = to_rgb(image)
    return rgb if method is None else rgb.transpose(method)


def _draft(image: Image.Image, side_min_px: int) -> None:
    """Have a JPEG decoded at a fraction of its size; nothing happens to other formats."""
    scale = side_min_px / min(image.size)
    if scale <= 0.5:
        image.draft(None, (math.ceil(image.width * scale), math.ceil(image.height * scale)))


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width < 1 or height < 1:
        raise UnreadableImageError(f"the image is {height} pixels high and {width} wide")
    if width * height > max_pixels:
        raise UnreadableImageError(_too_large(max_pixels))


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 (upright) if there is none or the EXIF data are broken, as viewers do."""
    try:
        orientation = image.getexif().get(ORIENTATION_TAG, 1)
    except BROKEN_FILE:
        return 1
    return orientation if isinstance(orientation, int) else 1


def _too_large(max_pixels: int) -> str:
    return f"the image has more pixels than dataset.max_pixels={max_pixels}; raise it to allow them"


def _reason(error: BaseException) -> str:
    if isinstance(error, UnidentifiedImageError):  # its own text holds a memory address
        return f"not an image in a known format ({', '.join(FORMATS)})"
    if isinstance(error, OSError) and error.errno is not None:  # its own text holds the absolute path
        return error.strerror or errno.errorcode.get(error.errno, type(error).__name__)
    return f"broken image ({type(error).__name__}: {error})"
