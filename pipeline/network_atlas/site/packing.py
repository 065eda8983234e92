"""Distribute the pictures and the example crops of a layer's rows over sheets. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from network_atlas.site.sheets import Sheet, pack, see_through

CELLS_PER_SHEET = 64
CELLS_PER_CROP_SHEET = 256
"""Pictures packed into one file: enough to keep files few, few enough that a browser opens each at once."""
CROP_COLUMNS = 16
THUMBNAIL_PX = 192
"""Longest side of a picture in the grid. Each has a file of its own too, in full size."""

Row = Mapping[str, Any]
Part = tuple[Sequence[Row], Sheet]
"""Rows that follow each other, and the sheet of all their cells in the same order."""


def picture_parts(rows: Sequence[Row], columns: Sequence[str]) -> list[Part]:
    """Return the rows in parts, each with the sheet of its pictures: a cell for every column of every row."""
    return [
        (part, pack([cell for row in part for cell in _cells(row, columns)], form="WEBP", longest_px=THUMBNAIL_PX))
        for part in _parts(rows, CELLS_PER_SHEET // max(1, len(columns)))
    ]


def crop_parts(rows: Sequence[Row]) -> list[Part]:
    """Return the rows in parts, each with the sheet of its crops: a cell for every example of every row."""
    most = max((len(row["examples"]) for row in rows), default=0)
    return [
        (part, pack(_crops(part), form="WEBP", columns=CROP_COLUMNS))
        for part in _parts(rows, CELLS_PER_CROP_SHEET // max(1, most))
    ]


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


def _parts(rows: Sequence[Row], size: int) -> list[Sequence[Row]]:
    size = max(1, size)
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _cells(row: Row, columns: Sequence[str]) -> list[bytes | None]:
    """Return a row's picture in each column, encoded; None where it has none."""
    pictures = pictures_by_column(row)
    return [encoded(pictures[column]) if column in pictures else None for column in columns]


def file_name(picture: Row) -> str:
    """Return the name of a picture's own file: from its content, so that it stays while the picture does."""
    return f"{hashlib.sha256(encoded(picture)).hexdigest()[:16]}.png"


def encoded(picture: Row) -> bytes:
    """Return a picture as PNG, blended with grey where its opacity mask says so."""
    data: bytes = picture["image"]["bytes"]
    opacity = picture.get("opacity")
    return see_through(data, opacity["bytes"]) if opacity else data


def _crops(rows: Sequence[Row]) -> list[bytes | None]:
    return [example["crop"]["bytes"] for row in rows for example in row["examples"]]
