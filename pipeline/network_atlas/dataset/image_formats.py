"""The image formats that are read, and the suffixes of their files: one list, for every kind of dataset.

Both come from Pillow, so a build without AVIF neither lists nor decodes AVIF files. A file of another format is
skipped, and counted by its suffix (`dataset.skipped`).
"""

from __future__ import annotations

from PIL import Image, features

# A fixed list: the images of a dataset must not depend on which formats the next Pillow learns. Left out on purpose are
# EPS (starts Ghostscript), WMF (needs Windows), BUFR, GRIB and HDF5 (need a decoder that Pillow lacks), and films.
READ = (
    "AVIF",
    "BMP",
    "DDS",
    "DIB",
    "GIF",
    "ICO",
    "JPEG",
    "JPEG2000",
    "PCX",
    "PNG",
    "PPM",
    "PSD",
    "QOI",
    "SGI",
    "TGA",
    "TIFF",
    "WEBP",
)
CODECS = {"AVIF": "avif", "JPEG": "jpg", "JPEG2000": "jpg_2000", "PNG": "zlib", "WEBP": "webp"}
"""The feature of Pillow that decodes a format; some builds lack it."""


OPENED_BY = {"MPO": "JPEG"}
"""A format that Pillow opens as another: an MPO is a JPEG that holds further pictures behind the first."""


def _formats() -> tuple[str, ...]:
    """Return the formats of READ that this build of Pillow decodes."""
    Image.init()  # else Pillow knows only five formats until it meets another
    return tuple(name for name in READ if name in Image.OPEN and (name not in CODECS or features.check(CODECS[name])))


def _suffixes(formats: tuple[str, ...]) -> tuple[str, ...]:
    """Return the suffixes that Pillow has for some formats, sorted, in lower case."""
    suffixes = Image.registered_extensions().items()
    return tuple(sorted(suffix for suffix, name in suffixes if OPENED_BY.get(name, name) in formats))


FORMATS = _formats()
"""Pillow's names of the formats that are decoded."""
SUFFIXES = _suffixes(FORMATS)
"""Suffixes of image files. A file is listed by its suffix, and decoded by its content."""


def is_image_name(name: str) -> bool:
    """Say whether a file's name ends in the suffix of an image format, in upper or lower case."""
    return name.lower().endswith(SUFFIXES)
