"""Distribute the pictures and the example crops of a layer's rows over sheets. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from network_atlas.site.sheets import Sheet, pack, see_through

CELLS_PER_SHEET = 64
CELLS_PER_CROP_SHEET = 256
"""Pictures packed into one file: enough to keep files few, few enough that a browser opens each at once."""
CROP_COLUMNS = 16

Row = Mapping[str, Any]
Part = tuple[Sequence[Row], Sheet]
"""Rows that follow each other, and the sheet of all their cells in the same order."""


def picture_parts(rows: Sequence[Row], variants: Sequence[str]) -> list[Part]:
    """Return the rows in parts, each with the sheet of its pictures: a cell for every variant of every row."""
    return [
        (part, pack([_picture(row, variant) for row in part for variant in variants], form="PNG"))
        for part in _parts(rows, CELLS_PER_SHEET // max(1, len(variants)))
    ]


def crop_parts(rows: Sequence[Row]) -> list[Part]:
    """Return the rows in parts, each with the sheet of its crops: a cell for every example of every row."""
    most = max((len(row["examples"]) for row in rows), default=0)
    return [
        (part, pack(_crops(part), form="JPEG", columns=CROP_COLUMNS))
        for part in _parts(rows, CELLS_PER_CROP_SHEET // max(1, most))
    ]


def pictures_by_variant(row: Row) -> dict[str, Row]:
    """Return the pictures of a row by their variant; of two with the same one, the first."""
    return {picture["variant"]: picture for picture in reversed(row["visualizations"])}


def _parts(rows: Sequence[Row], size: int) -> list[Sequence[Row]]:
    size = max(1, size)
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _picture(row: Row, variant: str) -> bytes | None:
    picture = pictures_by_variant(row).get(variant)
    if picture is None:
        return None
    data: bytes = picture["image"]["bytes"]
    opacity = picture.get("opacity")
    return see_through(data, opacity["bytes"]) if opacity else data


def _crops(rows: Sequence[Row]) -> list[bytes | None]:
    return [example["crop"]["bytes"] for row in rows for example in row["examples"]]
