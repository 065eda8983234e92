"""Files of the pictures and example crops of a layer's rows, and the names that pages know them by. Pure.

layers/<slug>/1f2e….webp             a picture, as the grid and the channel's page show it
layers/<slug>/1f2e…-full.webp        the same in full size, where it is larger than that
layers/<slug>/examples-003.webp      crops that only one channel shows, of the channels of one details file
examples/9a0b….webp                  crops that many channels show, such as whole images: stored once for all layers
"""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from PIL import Image

from network_atlas.site.sheets import Sheet, pack, see_through

CHANNELS_PER_PART = 8
"""Channels whose details are one file: what is read when one of them is opened."""
CROP_COLUMNS = 16
THUMBNAIL_PX = 192
"""Longest side of a picture in the grid."""
PICTURE_QUALITY, CROP_QUALITY = 86, 80
SHARED = "examples"
"""Folder of crops that all layers share, below `site/`."""
WHOLE_KINDS = ("top_mean", "slightly_positive", "zero", "slightly_negative", "bottom_mean")
"""Kinds of examples that show all of what the model is shown: other channels and layers show the same."""

Row = Mapping[str, Any]
Files = dict[str, bytes]
Place = int | str | None
"""Where a crop is: a cell of its part's sheet, or the name of a shared file; None if it is not stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Rows that follow each other: those of one file of details."""

    number: int
    rows: Sequence[Row]
    sheet: Sheet | None
    """Of the crops that no other row shows; None if there are none."""
    places: Sequence[Sequence[Place]]
    """Of each row's examples, in order."""


def parts_of(rows: Sequence[Row]) -> tuple[list[Part], Files]:
    """Return the rows in parts with the places of their crops, and the shared files, by path below `site/`."""
    shown = Counter(data for row in rows for data in _crops(row) if data)
    whole = {
        data
        for row in rows
        for example, data in zip(row["examples"], _crops(row), strict=True)
        if data and example["kind"] in WHOLE_KINDS
    }
    shared = whole | {data for data, count in shown.items() if count > 1}
    parts = []
    for number, start in enumerate(range(0, len(rows), CHANNELS_PER_PART)):
        of_part = rows[start : start + CHANNELS_PER_PART]
        alone = [data for row in of_part for data in _crops(row) if data and data not in shared]
        cells = {data: cell for cell, data in enumerate(alone)}
        sheet = pack(alone, form="WEBP", columns=CROP_COLUMNS) if alone else None
        places = [[_place(data, cells) for data in _crops(row)] for row in of_part]
        parts.append(Part(number=number, rows=of_part, sheet=sheet, places=places))
    return parts, {f"{SHARED}/{shared_name(data)}.webp": _webp(data, CROP_QUALITY) for data in sorted(shared)}


def _place(data: bytes | None, cells: Mapping[bytes, int]) -> Place:
    if not data:
        return None
    return cells[data] if data in cells else shared_name(data)


def shared_name(data: bytes) -> str:
    """Return the name of a shared crop: from its content."""
    return hashlib.sha256(data).hexdigest()[:16]


def picture_files(rows: Sequence[Row]) -> Files:
    """Return the files of all pictures of a layer's rows, by name."""
    return dict(file for row in rows for picture in row["visualizations"] for file in _files_of(picture))


def _files_of(picture: Row) -> Iterator[tuple[str, bytes]]:
    data, name = encoded(picture), file_name(picture)
    if not is_large(picture):
        yield f"{name}.webp", _webp(data, PICTURE_QUALITY)
        return
    yield f"{name}.webp", _webp(data, PICTURE_QUALITY, longest_px=THUMBNAIL_PX)
    yield f"{name}-full.webp", _webp(data, PICTURE_QUALITY)


def is_large(picture: Row) -> bool:
    """Say whether a picture has a second file, in full size."""
    with Image.open(io.BytesIO(picture["image"]["bytes"])) as image:
        return max(image.size) > THUMBNAIL_PX


def file_name(picture: Row) -> str:
    """Return the name of a picture's file, without its ending: from its key, so that it stays while the picture does.

    Whoever knows the key need not read the picture.
    """
    return hashlib.sha256(str(picture["key"]).encode()).hexdigest()[:16]


def encoded(picture: Row) -> bytes:
    """Return a picture as PNG, blended with grey where its opacity mask says so."""
    data: bytes = picture["image"]["bytes"]
    opacity = picture.get("opacity")
    return see_through(data, opacity["bytes"]) if opacity else data


@lru_cache(maxsize=4096)
def _webp(data: bytes, quality: int, longest_px: int = 0) -> bytes:
    with Image.open(io.BytesIO(data)) as image:
        if image.format == "WEBP":
            return data  # crops are stored so
        shown = image.convert("RGB")
    if longest_px:
        shown.thumbnail((longest_px, longest_px), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    shown.save(buffer, format="WEBP", quality=quality, method=4)
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


def _crops(row: Row) -> list[bytes | None]:
    return [example["crop"]["bytes"] for example in row["examples"]]
