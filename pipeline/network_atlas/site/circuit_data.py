"""The files about where a layer's channels look and what drives them, in the same parts as details. Pure.

layers/<slug>/circuit-003.js         edges down and up, numbers, and the cells of the sheet
layers/<slug>/heat-003.webp          heat maps and own maps, transparent, to lie over the crops of examples
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from network_atlas.layers import LayerSpec
from network_atlas.site.layer_data import script_json
from network_atlas.site.packing import CHANNELS_PER_PART, Files, Row

WARM, OWN = (255, 60, 0), (255, 225, 0)
"""Colours of heat maps and of channels' own maps."""
OPAQUE = 200
"""Opacity, of 255, of the strongest pixels: the image shows through."""
SHEET_COLUMNS = 16
QUALITY = 80
SCRIPTS = ("heat.js", "circuit.js")
"""Scripts that the pages of attributed layers load."""
LINKED = 12
"""Channels of later layers of each sign that are listed, the largest shares first."""
NUMBERS = ("value", "base", "attributed", "residual", "group_index", "group_p", "two_groups")
Colour = tuple[int, int, int]

OF_AN_EDGE = ("sign", "mean", "deviation", "share", "agreement", "wiring")


def circuit_files(
    spec: LayerSpec,
    rows: Sequence[Row],
    *,
    attributions: Iterable[Row],
    down: Mapping[str, Sequence[Row]],
    up: Mapping[str, Sequence[Row]],
) -> Files:
    """Return a script and a sheet for each part of a layer's `rows`, by path below `site/`.

    `down` has the edges to each layer just before, `up` those of each layer just behind, by these layers' slugs.
    """
    known = {row["channel"]: row for row in attributions}
    parents, children = _by_channel(down, "channel"), _by_channel(up, "parent_channel")
    files: Files = {}
    for number, start in enumerate(range(0, len(rows), CHANNELS_PER_PART)):
        cells: list[Image.Image] = []
        channels = {
            row["channel"]: {
                **_known(known.get(row["channel"]), cells),
                "down": [_edge(slug, edge, "parent") for slug, edge in parents[row["channel"]]],
                "up": [_edge(slug, edge, "") for slug, edge in _strongest(children[row["channel"]])],
            }
            for row in rows[start : start + CHANNELS_PER_PART]
            if row["channel"] is not None
        }
        data = {"channels": channels, "fields": OF_AN_EDGE, "sheet": _shape(len(cells))}
        name = script_json(f"{spec.slug}/{number}")
        text = f"(window.ATLAS_CIRCUIT??={{}})[{name}]={script_json(data)};\n"
        files[f"layers/{spec.slug}/circuit-{number:03d}.js"] = text.encode()
        if cells:
            files[f"layers/{spec.slug}/heat-{number:03d}.webp"] = _sheet(cells)
    return files


def _by_channel(edges: Mapping[str, Sequence[Row]], key: str) -> defaultdict[int, list[tuple[str, Row]]]:
    by_channel: defaultdict[int, list[tuple[str, Row]]] = defaultdict(list)
    for slug, rows in edges.items():
        for row in rows:
            by_channel[row[key]].append((slug, row))
    return by_channel


def _strongest(edges: Sequence[tuple[str, Row]]) -> list[tuple[str, Row]]:
    """Return the edges with the largest shares, of each sign."""
    ordered = sorted(edges, key=lambda edge: -edge[1]["share"])
    of_sign = ([edge for edge in ordered if edge[1]["sign"] == sign][:LINKED] for sign in ("positive", "negative"))
    return [edge for edges in of_sign for edge in edges]


def _edge(slug: str, row: Row, end: str) -> list[Any]:
    """Return the layer's slug and name, the channel, and the numbers of an edge; `end` is '' for the one behind."""
    layer, channel = (row["parent"], row["parent_channel"]) if end else (row["layer"], row["channel"])
    return [slug, layer, channel, *(_short(row[name]) for name in OF_AN_EDGE)]


def _known(row: Row | None, cells: list[Image.Image]) -> dict[str, Any]:
    """Return what is known of a channel; its maps are added to the cells of the sheet."""
    if row is None:
        return {}
    examples = {}
    for example in row["examples"]:
        places = [_place(example[name], colour, cells) for name, colour in (("heat", WARM), ("map", OWN))]
        examples[example["example_id"]] = [*places, example["group"], _short(example["residual"])]
    return {name: _short(row[name]) for name in NUMBERS} | {"parents": row["parents"], "examples": examples}


def _place(stored: Mapping[str, Any] | None, colour: Colour, cells: list[Image.Image]) -> int | None:
    if stored is None:
        return None
    with Image.open(io.BytesIO(stored["bytes"])) as image:
        cells.append(_transparent(colour, np.asarray(image.convert("L"), np.float64) / 255))
    return len(cells) - 1


def _transparent(colour: Colour, strength: NDArray[np.float64]) -> Image.Image:
    """Return a picture of one colour, opaque where `strength`, (rows, columns) on 0..1, is large."""
    pixels = np.empty((*strength.shape, 4), np.uint8)
    pixels[..., :3] = colour
    pixels[..., 3] = np.rint(OPAQUE * strength)
    return Image.fromarray(pixels)


def _short(value: object) -> object:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _shape(cells: int) -> tuple[int, int]:
    """Return the columns and rows of a sheet."""
    columns = max(1, min(SHEET_COLUMNS, cells))
    return columns, max(1, -(-cells // columns))


def _sheet(cells: Sequence[Image.Image]) -> bytes:
    columns, rows = _shape(len(cells))
    width, height = cells[0].size
    sheet = Image.new("RGBA", (columns * width, rows * height))
    for number, cell in enumerate(cells):
        sheet.paste(cell, (number % columns * width, number // columns * height))
    buffer = io.BytesIO()
    sheet.save(buffer, format="WEBP", quality=QUALITY, method=4)
    return buffer.getvalue()
