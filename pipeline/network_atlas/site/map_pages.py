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
from network_atlas.site.sheets import Sheet, pack

VERSION = 4
"""Raise when the same table makes other maps."""
ICONS_PER_SHEET, CROPS_PER_SHEET, SHEET_COLUMNS = 400, 256, 20
ASSETS = ("map.css", "map.js", "follow.js")


def map_files(info: AtlasInfo, spec: LayerSpec, rows: Sequence[Row], links: MapLinks) -> dict[str, bytes]:
    """Return the page of a layer's map with its data and sheets, by path below `site/`.

    `rows` are those of the layer's table in `activation_atlas/`.
    """
    folder, files = f"maps/{spec.slug}", dict[str, bytes]()
    levels = [_level(grid, list(cells), folder, files) for grid, cells in groupby(rows, key=lambda row: row["grid"])]
    crops = _crop_sheets(rows, folder, files)
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
        has_labels=any(row["labels"] for row in rows),
    )
    data = {"slug": spec.slug, "layer": spec.name, "model": info.model, "levels": levels, "crops": crops}
    files |= {f"{folder}.html": html.encode(), f"{folder}.js": f"window.ATLAS_MAP={script_json(data)};\n".encode()}
    return files | assets(ASSETS)


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
        "icon": bool(_image(row["icon"])),
        "status": row["icon_status"],
        "examples": [
            {name: example[name] for name in ("example_id", "label", "row", "column", "cosine")}
            | {"crop": bool(_image(example["crop"]))}
            for example in row["examples"]
        ],
    }


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
