"""Join the cells of a layer's map with their icons and examples: one row per cell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from network_atlas.assemble.cell_classes import CellClasses, Classes
from network_atlas.assemble.examples import Location, Row, Shown
from network_atlas.assemble.standing import sampled_scores, standing
from network_atlas.layout.cells import numbers_of
from network_atlas.plan.layouts import Place
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
    classes: Mapping[Place, Classes] | None,
    class_names: Sequence[str],
) -> list[Row]:
    """Return one row per cell, with the columns of `layout_schemas.ACTIVATION_ATLAS`.

    `made` has the rows of finished pictures, and `calibrations` those of their measurements, by the picture's key.
    Of each cell the first `shown` images have their crops. `classes` has those of each cell, by its grid, row and
    column; None where the model's output is not known.
    """
    icons = {(p.unit.grid, p.unit.row, p.unit.column): p for p in pictures if isinstance(p.unit, Cell)}
    rows = []
    for cell in cells:
        place = cell["grid"], cell["row"], cell["column"]
        picture = icons[place]
        icon = _icon(picture, made.get(picture.key), calibrations.get(picture.key, {}))
        examples = list(_examples(cell, crops, shown))
        found = _classes(classes[place] if classes is not None else None, class_names)
        rows.append({"model": model, **cell, "unit": picture.unit.label, **icon, **found, "examples": examples})
    return rows


def classes_of_cells(cells: Sequence[Row], layout: Mapping[str, Any], classes: CellClasses) -> dict[Place, Classes]:
    """Return the classes of each cell; `layout` has the columns `example_id`, `x` and `y` of all vectors of the map."""
    points = np.stack([layout["x"], layout["y"]], axis=1)
    held: dict[Place, list[str]] = {}
    for grid in sorted({cell["grid"] for cell in cells}):
        for example, number in zip(layout["example_id"].tolist(), numbers_of(points, grid).tolist(), strict=True):
            held.setdefault((grid, *divmod(number, grid)), []).append(example)
    places = ((cell["grid"], cell["row"], cell["column"]) for cell in cells)
    return {place: classes.of(held[place]) for place in places}


def _classes(found: Classes | None, names: Sequence[str]) -> Row:
    if found is None or found.chance is None:
        return {"classes": None, "class_by_chance": None}
    classes = [
        {"class": number, "class_name": names[number] if number < len(names) else None, "value": value}
        for number, value in found.classes
    ]
    return {"classes": classes, "class_by_chance": found.chance}


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
