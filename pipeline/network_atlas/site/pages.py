"""Build the pages of an atlas as files in memory. Pure: nothing is read or written here.

    files = layer_files(info, layer, rows, previous, following)     # 'layers/0042-blocks.4.html' -> bytes
    files |= index_files(info, summaries)                           # summaries of `summaries.summary`

Everything works from disk (file://) and from any web server: no requests to other servers, no modules, no build step.
Text from outside (names of layers, classes, examples) is escaped: in HTML by jinja2, in data files by
`layer_data.script_json`.
"""

from __future__ import annotations

import importlib.resources
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from network_atlas.errors import counted
from network_atlas.layers import OUTPUT, LayerSpec
from network_atlas.plan.tasks import MapLinks
from network_atlas.site.columns_page import tables
from network_atlas.site.layer_data import details_script, layer_script
from network_atlas.site.packing import (
    Row,
    columns_of,
    file_name,
    numbered,
    parts_of,
    picture_files,
    pictures_by_column,
)
from network_atlas.site.search import search_script
from network_atlas.site.structure import sections_of
from network_atlas.site.summaries import WORDS, LayerSummary, totals, unit_groups

VERSION = 15
"""Raise when the same table makes other pages."""

STATIC = (
    *("atlas.css", "charts.js", "data.js", "metrics.js", "grid.js", "channel.js", "names.js"),
    *("find.js", "searching.js", "network.js", "elsewhere.js", "compare.js", "compare.css"),
)
METRICS = (
    ("channel", "channel"),
    ("similarity", "similarity"),
    ("verdict", "verdict"),
    ("score", "score"),
    ("percentile", "percentile among images"),
    ("times_maximum", "multiple of the best image"),
    ("standardized_rank", "rank in its layer"),
    ("path_percentile", "likeness to its best images"),
    ("naturalness", "naturalness"),
    ("agreement", "agreement of seeds"),
    ("robustness_loss", "loss when moved"),
    ("frequency_distance", "distance of frequencies"),
    ("class_selectivity", "selectivity for a class"),
    ("name_score", "score of its name"),
    ("clarity", "clarity of its best images"),
    ("fraction_active", "share of images active"),
    ("maximum", "largest value"),
    ("mean", "mean"),
    ("variance", "variance"),
)
"""What channels can be sorted and filtered by: its name in `grid.js`, and its label."""

FEW_CHANNELS = 24
"""A layer with no more channels than this starts with large pictures, 192 px wide in place of 128."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AtlasInfo:
    """Facts about the atlas as a whole, for every page."""

    model: str
    dataset: str
    examples: int
    created: str
    facts: tuple[tuple[str, str], ...]
    provenance: tuple[tuple[str, str], ...] = ()
    """What every picture was made with, as (label, text)."""
    command: str = ""
    """The command that makes a picture of this atlas again, but for its unit."""
    table: str = ""
    """Path of the layer's table in the root."""
    input_size: tuple[int, int] = (0, 0)
    """Height and width of the network's input, in pixels."""
    channels: int = 3
    """Of the network's input."""


def layer_files(
    info: AtlasInfo,
    spec: LayerSpec,
    rows: Sequence[Row],
    previous: LayerSpec | None,
    following: LayerSpec | None,
    *,
    links: MapLinks | None = None,
    has_circuit: bool = False,
) -> dict[str, bytes]:
    """Return the page of one layer with its data and sheets, by path below `site/`.

    `links` are those of its map, None for a layer without one.
    """
    rows = numbered(rows, spec.channels)
    columns = columns_of(rows)
    singles = sum(row["single"] for row in rows)
    html = template("layer.html").render(
        info=info,
        layer=spec,
        facts=layer_facts(spec),
        previous=previous,
        following=following,
        columns=columns,
        verdicts=Counter(row["verdict"] for row in rows if row.get("verdict")),
        metrics=METRICS,
        cells=[_cell(row, columns) for row in rows],
        singles=singles,
        noun="channel" if singles == len(rows) else "unit",
        large=len(rows) <= FEW_CHANNELS,
        statuses=Counter(row["status"] for row in rows),
        is_output=spec.name == OUTPUT,
        map=links,
        has_circuit=has_circuit,
    )
    folder = f"layers/{spec.slug}"
    files = {f"{folder}.html": html.encode(), f"{folder}.js": layer_script(info, spec, rows, columns)}
    for part in parts_of(rows):
        files[f"{folder}/details-{part.number:03d}.js"] = details_script(spec, part, columns)
    return files | {f"{folder}/{name}": data for name, data in picture_files(rows).items()}


def _cell(row: Row, columns: Sequence[str]) -> dict[str, Any]:
    """Return what the grid needs of a row: name, tooltip, and the file of its picture in the first column.

    A unit that is not a channel may have other pictures than the layer; it shows its first.
    """
    pictures = pictures_by_column(row)
    first = next(iter(pictures.values()), None)
    shown = pictures.get(columns[0]) if row["single"] and columns else first
    return {
        "channel": row["channel"],
        "caption": row.get("class_name") or (row["channel"] if row["single"] else row["unit"]),
        "name": row.get("name"),
        "unit": row["unit"],
        "status": row["status"],
        "verdict": row.get("verdict"),
        "file": shown and file_name(shown),
    }


def index_files(info: AtlasInfo, layers: Sequence[LayerSummary]) -> dict[str, bytes]:
    """Return the pages of no single layer (network, comparison, columns), and what all pages share."""
    by_name = {layer.spec.name: layer for layer in layers}
    sections = [
        {
            "name": section.name,
            "id": f"part-{number}",
            "totals": totals([by_name[spec.name] for spec in section.layers]),
            "blocks": [
                {"name": block.name, "layers": [_strip(by_name[spec.name]) for spec in block.layers]}
                for block in section.blocks
            ],
        }
        for number, section in enumerate(sections_of([layer.spec for layer in layers]))
    ]
    shared = {"info": info, "words": WORDS, "totals": totals(layers)}
    html = template("index.html").render(sections=sections, layers=len(layers), **shared)
    compare = template("compare.html").render(
        groups=unit_groups(layers), slugs={name: layer.spec.slug for name, layer in by_name.items()}, **shared
    )
    search = search_script((layer.spec, layer.rows) for layer in layers)
    columns = template("columns.html").render(tables=tables(), info=info)
    files = {"index.html": html.encode(), "compare.html": compare.encode(), "columns.html": columns.encode()}
    files["assets/search.js"] = search
    return files | assets(STATIC)


def _strip(layer: LayerSummary) -> dict[str, Any]:
    return {
        "spec": layer.spec,
        "facts": layer_facts(layer.spec),
        "totals": totals([layer]),
        "covers": layer.covers,
        "has_map": layer.has_map,
    }


def layer_facts(spec: LayerSpec) -> list[tuple[str, str]]:
    """Return the facts about a layer, as (label, text)."""
    facts = [("Type", spec.type), ("Shape", spec.shape.replace(" x ", " × "))]
    if spec.receptive_field_px:
        facts.append(("Sees", f"{spec.receptive_field_px} × {spec.receptive_field_px} px"))
    return facts


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("network_atlas.site"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["counted"] = counted
    return environment


def template(name: str) -> Any:
    return _environment().get_template(name)


def assets(names: Iterable[str]) -> dict[str, bytes]:
    """Return styles and scripts by their path below `site/`."""
    static = importlib.resources.files("network_atlas.site") / "static"
    return {f"assets/{name}": (static / name).read_bytes() for name in names}
