"""Text in pictures: a font that has its letters, and lines that fit.

The font that comes with Pillow has no letters but those of English. Other text is set in the first of some common
fonts that this machine has and that has most of its letters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import TypeAlias

from PIL import ImageFont

Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont

INSTALLED = (
    *("DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf", "Arial Unicode.ttf", "arial.ttf"),
    *("NotoSansCJK-Regular.ttc", "wqy-microhei.ttc", "PingFang.ttc", "msyh.ttc", "meiryo.ttc", "malgun.ttf"),
)
"""Files of fonts that Linux, macOS and Windows often have, by name; Pillow knows their folders."""
NO_CHARACTER = "\uffff"
"""A code that no font has a letter for: what is drawn like it is missing."""
LEFT_OUT = "..."


def font_for(text: str, size_px: int, names: tuple[str, ...] = INSTALLED) -> Font:
    """Return the first font with all letters of a text, Pillow's own or one of `names`; else that with most."""
    best = _default(size_px)
    least = missing(text, best)
    for name in names if least else ():
        font = _installed(name, size_px)
        if font is not None and len(lacking := missing(text, font)) < len(least):
            best, least = font, lacking
    return best


def missing(text: str, font: Font) -> set[str]:
    """Return the letters of a text that a font does not have."""
    return {letter for letter in text if not letter.isspace() and not _has(font, letter)}


@cache
def _has(font: Font, letter: str) -> bool:
    return _drawn(font, letter) != _drawn(font, NO_CHARACTER)


def _drawn(font: Font, letter: str) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(letter)
    return mask.size, bytes(mask)


@cache
def _default(size_px: int) -> Font:
    return ImageFont.load_default(size_px)


@cache
def _installed(name: str, size_px: int) -> Font | None:
    try:
        return ImageFont.truetype(name, size_px)
    except OSError:  # not on this machine
        return None


def fitted(text: str, fits: Callable[[str], bool], lines: int) -> list[str]:
    """Return a text in so many lines at most, which all fit.

    Of one that is too long the middle is left out: the ends of units' names tell them apart.
    """
    text = " ".join(text.split())
    kept, result = len(text), list(_wrapped(text, fits))
    while len(result) > lines and kept:
        kept -= 1
        shorter = f"{text[: kept - kept // 2]}{LEFT_OUT}{text[len(text) - kept // 2 :]}"
        result = list(_wrapped(shorter, fits))
    return result[:lines]


def _wrapped(text: str, fits: Callable[[str], bool]) -> Iterator[str]:
    """Yield the lines of a text, broken between words, or within a word that is longer than a line."""
    line = ""
    for word in text.split(" "):
        if fits(longer := f"{line} {word}".strip()):
            line = longer
            continue
        if line:
            yield line
        line = ""
        for letter in word:
            if line and not fits(line + letter):
                yield line
                line = ""
            line += letter
    yield line
