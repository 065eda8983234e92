"""Join the cells of a layer's map with their icons and examples: one row per cell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    shown: int,
) -> list[Row]:
    """Return one row per cell, with the columns of `layout_schemas.ACTIVATION_ATLAS`.

    `made` has the rows of finished pictures, and `calibrations` those of their measurements, by the picture's key.
    Of each cell the first `shown` images have their crops.
    """
    icons = {(p.unit.grid, p.unit.row, p.unit.column): p for p in pictures if isinstance(p.unit, Cell)}
    rows = []
    for cell in cells:
        picture = icons[cell["grid"], cell["row"], cell["column"]]
        icon = _icon(picture, made.get(picture.key), calibrations.get(picture.key, {}))
        examples = list(_examples(cell, crops, shown))
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


def shown_of(cell: Row, count: int) -> list[Location]:
    """Return the positions of images that are cut out of a cell's: the first `count`, each image once."""
    of_image: dict[str, Location] = {}
    for example in cell["examples"]:
        of_image.setdefault(example["example_id"], _location(example))
    return list(of_image.values())[:count]


def _location(example: Mapping[str, Any]) -> Location:
    return example["example_id"], example["row"], example["column"]


def _examples(cell: Row, crops: Mapping[Location, Shown], count: int) -> Iterator[Row]:
    shown = {location: crops[location] for location in shown_of(cell, count)}
    for example in cell["examples"]:
        of_example = shown.get(_location(example))
        yield {**example, "crop": {"bytes": of_example.image, "path": None} if of_example else None}
