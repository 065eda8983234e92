"""Build the page of a layer's activation atlas: a map of icons to pan and zoom, from coarse to fine. Pure.

files = map_files(info, layer, rows, links)     # 'maps/0042-blocks.4.html' -> bytes
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from network_atlas.layers import LayerSpec
from network_atlas.plan.tasks import MapLinks
from network_atlas.site.layer_data import script_json
from network_atlas.site.packing import Row
from network_atlas.site.pages import AtlasInfo, assets, layer_facts, template
from network_atlas.site.sheets import Sheet, pack, tiled

VERSION = 4
"""Raise when the same table makes other maps."""
ICONS_PER_SHEET, CROPS_PER_SHEET, SHEET_COLUMNS = 400, 256, 20
OVERVIEW_GRID, OVERVIEW_PX = 10, 400
"""The layer's page shows the finest grid of at most so many cells along a side, so large."""
ASSETS = ("map.css", "map.js", "follow.js")


def map_files(info: AtlasInfo, spec: LayerSpec, rows: Sequence[Row], links: MapLinks) -> dict[str, bytes]:
    """Return the page of a layer's map with its data and sheets, by path below `site/`.

    `rows` are those of the layer's table in `activation_atlas/`.
    """
    folder, files = f"maps/{spec.slug}", dict[str, bytes]()
    levels = [_level(grid, list(cells), folder, files) for grid, cells in groupby(rows, key=lambda row: row["grid"])]
    crops = _crop_sheets(rows, folder, files)
    if rows:
        files[f"{folder}/overview.webp"] = _overview(rows)
    html = template("map.html").render(
        info=info,
        layer=spec,
        facts=layer_facts(spec),
        previous=links.previous,
        following=links.following,
        vectors=rows[0]["vectors"] if rows else 0,
        images=rows[0]["images"] if rows else 0,
        grids=[level["grid"] for level in levels],
        cells=len(rows),
        has_names=any(row["labels"] or _classes(row) for row in rows),
    )
    data: dict[str, Any] = {
        "slug": spec.slug,
        "layer": spec.name,
        "model": info.model,
        "levels": levels,
        "crops": crops,
    }
    data["hasClasses"] = any(row.get("class_by_chance") is not None for row in rows)
    files |= {f"{folder}.html": html.encode(), f"{folder}.js": f"window.ATLAS_MAP={script_json(data)};\n".encode()}
    return files | assets(ASSETS)


def _overview(rows: Sequence[Row]) -> bytes:
    """Return the icons of one grid in their places, as one picture."""
    grids = sorted({row["grid"] for row in rows})
    grid = max((size for size in grids if size <= OVERVIEW_GRID), default=grids[0])
    icons = {(row["row"], row["column"]): icon for row in rows if row["grid"] == grid and (icon := _image(row["icon"]))}
    return tiled(icons, grid, OVERVIEW_PX)


def _level(grid: int, rows: Sequence[Row], folder: str, files: dict[str, bytes]) -> dict[str, Any]:
    """Return what the script needs of the cells of one grid; put the sheets of their icons into `files`."""
    sheets = [
        _sheet([_image(row["icon"]) for row in part], f"{folder}/icons-{grid:03d}-{number:03d}.jpg", files)
        for number, part in enumerate(_parts(rows, ICONS_PER_SHEET))
    ]
    cells = [_cell(row) for row in rows]
    return {"grid": grid, "sheets": sheets, "perSheet": ICONS_PER_SHEET, "cells": cells}


def _cell(row: Row) -> dict[str, Any]:
    names = ("row", "column", "count", "score", "percentile")
    return {
        **{name: row[name] for name in names},
        "labels": [[label["label"], label["count"]] for label in row["labels"]],
        "classes": _classes(row),
        "icon": bool(_image(row["icon"])),
        "status": row["icon_status"],
        "examples": [
            {name: example[name] for name in ("example_id", "label", "row", "column", "cosine")}
            | {"crop": bool(_image(example["crop"]))}
            for example in row["examples"]
        ],
    }


def _classes(row: Row) -> list[tuple[str, float]]:
    """Return the names and values of the classes that stand out in a cell; earlier snapshots have none."""
    return [
        (each["class_name"] or f"class {each['class']}", round(each["value"], 1))
        for each in row.get("classes") or ()
        if each["value"] > row["class_by_chance"]
    ]


def _crop_sheets(rows: Sequence[Row], folder: str, files: dict[str, bytes]) -> dict[str, Any]:
    """Return the sheets of all crops, in the order of cells and examples; put the sheets into `files`."""
    images = [data for row in rows for example in row["examples"] if (data := _image(example["crop"]))]
    sheets = [
        _sheet(part, f"{folder}/crops-{number:03d}.jpg", files)
        for number, part in enumerate(_parts(images, CROPS_PER_SHEET))
    ]
    return {"sheets": sheets, "perSheet": CROPS_PER_SHEET}


def _sheet(images: Sequence[bytes | None], path: str, files: dict[str, bytes]) -> dict[str, Any]:
    sheet: Sheet = pack(images, form="JPEG", columns=SHEET_COLUMNS)
    files[path] = sheet.data
    return {"columns": sheet.columns, "rows": sheet.rows}


def _image(image: Row | None) -> bytes | None:
    data: bytes | None = image["bytes"] if image else None
    return data


def _parts(items: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
