"""Build the pages of an atlas as files in memory. Pure: nothing is read or written here.

    files = layer_files(info, layer, rows, previous, following)     # 'layers/0042-blocks.4.html' -> bytes
    files |= index_files(info, summaries)

Everything works from disk (file://) and from any web server: no requests to other servers, no modules, no build step.
Text from outside (names of layers, classes, examples) is escaped: in HTML by jinja2, in data files by
`layer_data.script_json`.
"""

from __future__ import annotations

import importlib.resources
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from network_atlas.errors import counted
from network_atlas.layers import OUTPUT, LayerSpec
from network_atlas.site.layer_data import layer_script
from network_atlas.site.packing import (
    THUMBNAIL_PX,
    Part,
    Row,
    columns_of,
    crop_parts,
    encoded,
    file_name,
    picture_parts,
    pictures_by_column,
)
from network_atlas.site.sheets import Sheet, pack

VERSION = 9
"""Raise when the same table makes other pages."""

STATIC = ("atlas.css", "grid.js", "channel.js", "names.js", "charts.js")
METRICS = (
    ("channel", "channel"),
    ("verdict", "verdict"),
    ("score", "score"),
    ("percentile", "percentile among images"),
    ("times_maximum", "multiple of the best image"),
    ("standardized_rank", "rank in its layer"),
    ("path_percentile", "likeness to its best images"),
    ("agreement", "agreement of seeds"),
    ("robustness_loss", "loss when moved"),
    ("frequency_distance", "distance of frequencies"),
    ("class_selectivity", "selectivity for a class"),
    ("name_score", "score of its name"),
    ("fraction_active", "share of images active"),
    ("maximum", "largest value"),
    ("mean", "mean"),
    ("variance", "variance"),
)
"""What channels can be sorted and filtered by: its name in `grid.js`, and its label."""

FEW_CHANNELS = 24
"""A layer with no more channels than this starts with large pictures."""
LARGE_PX, SMALL_PX = 192, 128
"""Sides of a picture in the grid at first; a slider changes it."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSummary:
    """Facts about one layer, for the index."""

    spec: LayerSpec
    channels_shown: int
    status_counts: Mapping[str, int]
    verdict_counts: Mapping[str, int]
    """Channels by the verdict on their pictures; those without pictures are left out."""
    covers: tuple[bytes, ...]


def layer_files(
    info: AtlasInfo,
    spec: LayerSpec,
    rows: Sequence[Row],
    previous: LayerSpec | None,
    following: LayerSpec | None,
    *,
    has_map: bool = False,
) -> dict[str, bytes]:
    """Return the page of one layer with its data and sheets, by path below `site/`."""
    rows = _numbered(rows, spec)
    columns = columns_of(rows)
    pictures, crops = picture_parts(rows, columns), crop_parts(rows)
    html = template("layer.html").render(
        info=info,
        layer=spec,
        facts=layer_facts(spec),
        previous=previous,
        following=following,
        columns=columns,
        verdicts=Counter(row["verdict"] for row in rows if row.get("verdict")),
        metrics=METRICS,
        labels=sorted({row["class_name"] for row in rows if row.get("class_name")}),
        cells=[cell for number, part in enumerate(pictures) for cell in _cells(part, columns, number)],
        size_px=LARGE_PX if len(rows) <= FEW_CHANNELS else SMALL_PX,
        statuses=Counter(row["status"] for row in rows),
        is_output=spec.name == OUTPUT,
        has_map=has_map,
    )
    folder = f"layers/{spec.slug}"
    script = layer_script(info, spec, rows, columns, pictures=pictures, crops=crops)
    files = {f"{folder}.html": html.encode(), f"{folder}.js": script} | _sheet_files(folder, pictures, crops)
    return files | {f"{folder}/{file_name(shown)}": encoded(shown) for row in rows for shown in row["visualizations"]}


def _sheet_files(folder: str, pictures: Sequence[Part], crops: Sequence[Part]) -> dict[str, bytes]:
    """Return the sheets that have something on them, by path."""
    files: dict[str, bytes] = {}
    for number, (rows, sheet) in enumerate(pictures):
        if any(row["visualizations"] for row in rows):
            files[f"{folder}/pictures-{number:03d}.webp"] = sheet.data
    for number, (rows, sheet) in enumerate(crops):
        if any(row["examples"] for row in rows):
            files[f"{folder}/examples-{number:03d}.webp"] = sheet.data
    return files


def _numbered(rows: Sequence[Row], spec: LayerSpec) -> list[Row]:
    """Return rows that all have a number for links: units that are not a channel are counted on after the channels."""
    numbered: list[Row] = []
    following = spec.channels
    for row in rows:
        single = row["channel"] is not None
        numbered.append({**row, "single": single, "channel": row["channel"] if single else following})
        following += not single
    return numbered


def _cells(part: Part, columns: Sequence[str], sheet_number: int) -> list[dict[str, Any]]:
    """Return what the grid needs of each row: name, tooltip, and a style per column (None without a picture)."""
    rows, sheet = part
    return [
        {
            "channel": row["channel"],
            "caption": row.get("class_name") or (row["channel"] if row["single"] else row["unit"]),
            "unit": row["unit"],
            "status": row["status"],
            "verdict": row.get("verdict"),
            "sheet": f"pictures-{sheet_number:03d}.webp",
            "styles": _cell_styles(row, columns, sheet, first_cell=number * len(columns)),
        }
        for number, row in enumerate(rows)
    ]


def _cell_styles(row: Row, columns: Sequence[str], sheet: Sheet, *, first_cell: int) -> list[str | None]:
    """Return a style per column.

    A unit that is not a channel may have other pictures than the layer; where one is missing it shows its first.
    """
    pictures = pictures_by_column(row)
    styles = [sheet.style(first_cell + number) if column in pictures else None for number, column in enumerate(columns)]
    first = next((style for style in styles if style), None)
    return styles if row["single"] else [style or first for style in styles]


def index_files(info: AtlasInfo, layers: Sequence[LayerSummary]) -> dict[str, bytes]:
    """Return the index page, its covers, and the style sheet and script that all pages share."""
    sheets = {
        layer.spec.slug: pack(layer.covers, form="WEBP", longest_px=THUMBNAIL_PX) for layer in layers if layer.covers
    }
    html = template("index.html").render(
        info=info,
        layers=[
            {
                "spec": layer.spec,
                "facts": layer_facts(layer.spec),
                "shown": layer.channels_shown,
                "problems": {name: count for name, count in layer.status_counts.items() if name != "ok"},
                "verdicts": layer.verdict_counts,
                "covers": [sheets[layer.spec.slug].style(cell) for cell in range(len(layer.covers))],
            }
            for layer in layers
        ],
        channels=sum(layer.channels_shown for layer in layers),
    )
    files = {"index.html": html.encode()}
    files |= {f"assets/covers/{slug}.webp": sheet.data for slug, sheet in sheets.items()}
    return files | assets(STATIC)


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
