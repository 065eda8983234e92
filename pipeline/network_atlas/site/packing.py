"""Files of the pictures of a layer's rows, and the names that pages know them by. Pure.

layers/<slug>/1f2e….webp             a picture, as the grid and the channel's page show it
layers/<slug>/1f2e…-full.webp        the same in full size, where it is larger than that
examples/9a0b…-256x192.webp          images of examples, whole, and sheets of crops: made when tables are joined
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from PIL import Image

from network_atlas.analysis.shown import shown, shown_size

CHANNELS_PER_PART = 8
"""Channels whose details are one file: what is read when one of them is opened."""
THUMBNAIL_PX = 192
"""Longest side of a picture in the grid."""
PICTURE_QUALITY = 86

Row = Mapping[str, Any]
Files = dict[str, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Rows that follow each other: those of one file of details."""

    number: int
    rows: Sequence[Row]


def parts_of(rows: Sequence[Row]) -> list[Part]:
    """Return the rows in parts."""
    starts = range(0, len(rows), CHANNELS_PER_PART)
    return [Part(number=n, rows=rows[start : start + CHANNELS_PER_PART]) for n, start in enumerate(starts)]


def picture_files(rows: Sequence[Row]) -> Files:
    """Return the files of all pictures of a layer's rows, by name."""
    return dict(file for row in rows for picture in row["visualizations"] for file in _files_of(picture))


def _files_of(picture: Row) -> Iterator[tuple[str, bytes]]:
    data, name = shown(picture), file_name(picture)
    if not is_large(picture):
        yield f"{name}.webp", _webp(data, PICTURE_QUALITY)
        return
    yield f"{name}.webp", _webp(data, PICTURE_QUALITY, longest_px=THUMBNAIL_PX)
    yield f"{name}-full.webp", _webp(data, PICTURE_QUALITY)


def is_large(picture: Row) -> bool:
    """Say whether a picture has a second file, in full size."""
    return max(shown_size(picture)) > THUMBNAIL_PX


def file_name(picture: Row) -> str:
    """Return the name of a picture's file, without its ending: from its key, so that it stays while the picture does.

    Whoever knows the key need not read the picture.
    """
    return hashlib.sha256(str(picture["key"]).encode()).hexdigest()[:16]


@lru_cache(maxsize=4096)
def _webp(data: bytes, quality: int, longest_px: int = 0) -> bytes:
    with Image.open(io.BytesIO(data)) as image:
        picture = image.convert("RGB")
    if longest_px:
        picture.thumbnail((longest_px, longest_px), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, format="WEBP", quality=quality, method=4)
    return buffer.getvalue()


def pictures_by_column(row: Row) -> dict[str, Row]:
    """Return all pictures of a row by the column of the grid in which each stands: its variant's name.

    A row may hold several pictures of one name, such as interpolations of two recipes. The second stands in a column of
    its own, 'channel+ (2)': a picture is what its key names, and none may hide another.
    """
    columns: dict[str, Row] = {}
    for picture in row["visualizations"]:
        name, number = str(picture["variant"]), 1
        while name in columns:
            number += 1
            name = f"{picture['variant']} ({number})"
        columns[name] = picture
    return columns


def columns_of(rows: Sequence[Row]) -> list[str]:
    """Return the columns of all rows' pictures, in order of first appearance."""
    return list(dict.fromkeys(column for row in rows for column in pictures_by_column(row)))


def numbered(rows: Sequence[Row], channels: int) -> list[Row]:
    """Return rows that all have a number for links: units that are not a channel are counted on after the channels."""
    result: list[Row] = []
    following = channels
    for row in rows:
        single = row["channel"] is not None
        result.append({**row, "single": single, "channel": row["channel"] if single else following})
        following += not single
    return result
