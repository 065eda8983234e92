"""Join the cells of a layer's map with their icons and examples: one row per cell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from network_atlas.assemble.examples import Location, Row, Shown
from network_atlas.assemble.standing import sampled_scores, standing
from network_atlas.plan.pictures import Picture
from network_atlas.units import Cell

OF_CELL = (
    *("layer_index", "layer", "layout", "vectors", "images", "grid", "row", "column", "count", "labels"),
    "examples",
)
"""Columns of the stored cells that the joined table has too; vectors of all channels stay in `cells/`."""
NO_ICON = dict.fromkeys(("key", "icon", "score", "percentile", "steps", "seed", "icon_status"))


def cell_rows(
    model: str,
    cells: Sequence[Row],
    pictures: Iterable[Picture],
    *,
    made: Mapping[str, Mapping[str, Any]],
    calibrations: Mapping[str, Mapping[str, Any]],
    crops: Mapping[Location, Shown],
) -> list[Row]:
    """Return one row per cell, with the columns of `layout_schemas.ACTIVATION_ATLAS`.

    `made` has the rows of finished pictures, and `calibrations` those of their measurements, by the picture's key.
    """
    icons = {(p.unit.grid, p.unit.row, p.unit.column): p for p in pictures if isinstance(p.unit, Cell)}
    rows = []
    for cell in cells:
        picture = icons[cell["grid"], cell["row"], cell["column"]]
        icon = _icon(picture, made.get(picture.key), calibrations.get(picture.key, {}))
        examples = [_with_crop(example, crops) for example in cell["examples"]]
        rows.append({"model": model, **cell, "unit": picture.unit.label, **icon, "examples": examples})
    return rows


def _icon(picture: Picture, row: Mapping[str, Any] | None, measured: Mapping[str, Any]) -> Row:
    if row is None:
        return NO_ICON
    percentile, _ = standing(picture, row["score"], sampled_scores(picture, None, measured))
    return {
        "key": picture.key,
        "icon": row["image"],
        "percentile": percentile,
        "icon_status": row["status"],
        **{name: row[name] for name in ("score", "steps", "seed")},
    }


def shown_of(cells: Iterable[Row], count: int) -> list[Location]:
    """Return the positions of images that are cut out: of each cell the first `count`, each image once."""
    locations: list[Location] = []
    for cell in cells:
        of_image: dict[str, Location] = {}
        for example in cell["examples"]:
            of_image.setdefault(example["example_id"], _location(example))
        locations += list(of_image.values())[:count]
    return locations


def _location(example: Mapping[str, Any]) -> Location:
    return example["example_id"], example["row"], example["column"]


def _with_crop(example: Row, crops: Mapping[Location, Shown]) -> Row:
    shown = crops.get(_location(example))
    return {**example, "crop": {"bytes": shown.jpeg, "path": None} if shown else None}
