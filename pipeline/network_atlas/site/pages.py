"""Build the pages of an atlas as files in memory. Pure: nothing is read or written here.

    files = layer_files(info, layer, rows, previous, following)     # 'layers/0042-blocks.4.html' -> bytes
    files |= index_files(info, summaries)

Everything works from disk (file://) and from any web server: no requests to anywhere, no modules, no build step. Text
from outside (names of layers, classes, examples) is escaped in HTML by jinja2, and in data files by `script_json`.
"""

from __future__ import annotations

import importlib.resources
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from network_atlas.errors import counted
from network_atlas.layers import OUTPUT, LayerSpec
from network_atlas.site.sheets import Sheet, pack, see_through

VERSION = 5
"""Raise when the same table makes other pages."""

CELLS_PER_SHEET = 64
CELLS_PER_CROP_SHEET = 256
"""Pictures packed into one file: enough to keep files few, few enough that a browser opens each at once."""

FEW_CHANNELS = 24
"""A layer with no more channels than this starts with large pictures."""

STATISTICS = ("spatial_maximum", "spatial_mean", "partners", "duplicates", "classes", "class_selectivity")

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AtlasInfo:
    """What the pages say about the atlas as a whole."""

    model: str
    dataset: str
    examples: int
    created: str
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSummary:
    """What the index shows of one layer."""

    spec: LayerSpec
    channels_shown: int
    status_counts: Mapping[str, int]
    covers: tuple[bytes, ...]


def layer_files(
    info: AtlasInfo, spec: LayerSpec, rows: Sequence[Row], previous: LayerSpec | None, following: LayerSpec | None
) -> dict[str, bytes]:
    """Return the page of one layer with its data and sheets, by path below `site/`."""
    rows = _numbered(rows, spec)
    variants = list(dict.fromkeys(picture["variant"] for row in rows for picture in row["visualizations"]))
    pictures = _picture_sheets(rows, variants)
    crops = _crop_sheets(rows)
    folder = f"layers/{spec.slug}"
    html = _template("layer.html").render(
        info=info,
        layer=spec,
        facts=layer_facts(spec),
        previous=previous,
        following=following,
        variants=variants,
        cells=[cell for place, (part, sheet) in enumerate(pictures) for cell in _cells(part, variants, sheet, place)],
        size_px=192 if len(rows) <= FEW_CHANNELS else 128,
        statuses=Counter(row["status"] for row in rows),
        is_output=spec.name == OUTPUT,
    )
    files = {f"{folder}.html": html.encode(), f"{folder}.js": _data(spec, rows, variants, pictures, crops)}
    for place, (part, sheet) in enumerate(pictures):
        if any(row["visualizations"] for row in part):
            files[f"{folder}/pictures-{place:03d}.png"] = sheet.data
    for place, (part, sheet) in enumerate(crops):
        if any(row["examples"] for row in part):
            files[f"{folder}/examples-{place:03d}.jpg"] = sheet.data
    return files


def _numbered(rows: Sequence[Row], spec: LayerSpec) -> list[Row]:
    """Return rows that all have a number to be found by: units that are no channel count on behind the channels."""
    numbered: list[Row] = []
    for row in rows:
        others = sum(one["channel"] >= spec.channels for one in numbered)
        own = row["channel"] is not None
        numbered.append({**row, "single": own, "channel": row["channel"] if own else spec.channels + others})
    return numbered


def index_files(info: AtlasInfo, layers: Sequence[LayerSummary]) -> dict[str, bytes]:
    """Return the index page, its covers, and the style sheet and script that all pages share."""
    sheets = {layer.spec.slug: pack(layer.covers, form="PNG") for layer in layers if layer.covers}
    html = _template("index.html").render(
        info=info,
        layers=[
            {
                "spec": layer.spec,
                "facts": layer_facts(layer.spec),
                "shown": layer.channels_shown,
                "problems": {name: count for name, count in layer.status_counts.items() if name != "ok"},
                "covers": [sheets[layer.spec.slug].style(cell) for cell in range(len(layer.covers))],
            }
            for layer in layers
        ],
        channels=sum(layer.channels_shown for layer in layers),
    )
    files = {"index.html": html.encode()}
    files |= {f"assets/covers/{slug}.png": sheet.data for slug, sheet in sheets.items()}
    static = importlib.resources.files("network_atlas.site") / "static"
    return files | {f"assets/{name}": (static / name).read_bytes() for name in ("atlas.css", "atlas.js")}


def layer_facts(spec: LayerSpec) -> list[tuple[str, str]]:
    """Return label and text of what is known about a layer."""
    facts = [("Type", spec.type), ("Shape", spec.shape.replace(" x ", " × "))]
    if spec.receptive_field_px:
        facts.append(("Sees", f"{spec.receptive_field_px} × {spec.receptive_field_px} px"))
    return facts


def script_json(value: object) -> str:
    """Return JSON that is safe inside a script: ASCII only, no '<' that could end it, no NaN."""
    return json.dumps(_finite(value), ensure_ascii=True, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _finite(value: object) -> object:
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("network_atlas.site"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["counted"] = counted
    return environment


def _template(name: str) -> Any:
    return _environment().get_template(name)


def _parts(rows: Sequence[Row], size: int) -> list[Sequence[Row]]:
    size = max(1, size)
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _picture_sheets(rows: Sequence[Row], variants: Sequence[str]) -> list[tuple[Sequence[Row], Sheet]]:
    """Return parts of the rows with the sheet of their pictures: a cell for every variant of every channel."""
    return [
        (part, pack([_picture(row, variant) for row in part for variant in variants], form="PNG"))
        for part in _parts(rows, CELLS_PER_SHEET // max(1, len(variants)))
    ]


def _picture(row: Row, variant: str) -> bytes | None:
    for picture in row["visualizations"]:
        if picture["variant"] == variant:
            data: bytes = picture["image"]["bytes"]
            opacity = picture.get("opacity")
            return see_through(data, opacity["bytes"]) if opacity else data
    return None


def _crop_sheets(rows: Sequence[Row]) -> list[tuple[Sequence[Row], Sheet]]:
    most = max((len(row["examples"]) for row in rows), default=0)
    return [
        (part, pack([example["crop"]["bytes"] for row in part for example in row["examples"]], form="JPEG", columns=16))
        for part in _parts(rows, CELLS_PER_CROP_SHEET // max(1, most))
    ]


def _cells(part: Sequence[Row], variants: Sequence[str], sheet: Sheet, sheet_number: int) -> list[dict[str, Any]]:
    """Return what the grid needs of each channel: name, tooltip, and a style per variant (None without a picture)."""
    return [
        {
            "channel": row["channel"],
            "caption": row.get("class_name") or (row["channel"] if row["single"] else row["unit"]),
            "unit": row["unit"],
            "status": row["status"],
            "sheet": f"pictures-{sheet_number:03d}.png",
            "styles": _cell_styles(row, variants, sheet, place),
        }
        for place, row in enumerate(part)
    ]


def _cell_styles(row: Row, variants: Sequence[str], sheet: Sheet, place: int) -> list[str | None]:
    """Return a style per variant; a unit that is no channel, and so has its own variants, always shows its first."""
    styles = [
        sheet.style(place * len(variants) + number) if _has(row, variant) else None
        for number, variant in enumerate(variants)
    ]
    first = next((style for style in styles if style), None)
    return styles if row["single"] else [style or first for style in styles]


def _has(row: Row, variant: str) -> bool:
    return any(picture["variant"] == variant for picture in row["visualizations"])


def _data(
    spec: LayerSpec,
    rows: Sequence[Row],
    variants: Sequence[str],
    pictures: Sequence[tuple[Sequence[Row], Sheet]],
    crops: Sequence[tuple[Sequence[Row], Sheet]],
) -> bytes:
    """Return the layer's numbers as a script that hands them to atlas.js."""
    picture_styles = _styles(pictures, lambda row: [v if _has(row, v) else None for v in variants])
    crop_styles = _styles(crops, lambda row: [example["crop"]["bytes"] for example in row["examples"]])
    channels = [
        {
            "channel": row["channel"],
            "unit": row["unit"],
            "single": row["single"],
            "className": row.get("class_name"),
            "status": row["status"],
            "pictures": _picture_data(row, variants, *picture_styles[place]),
            "examples": _example_data(row, *crop_styles[place]),
            "numbers": {name: row[name] for name in ("count", "mean", "variance", "minimum", "maximum")},
            **{name: row.get(name) for name in STATISTICS},
        }
        for place, row in enumerate(rows)
    ]
    data = {"slug": spec.slug, "variants": variants, "channels": channels}
    return f"window.ATLAS_LAYER={script_json(data)};\n".encode()


def _styles(sheets: Sequence[tuple[Sequence[Row], Sheet]], cells: Any) -> list[tuple[int, list[str | None]]]:
    """Return for every row, in order, its sheet's number and the style of each of its cells (None where empty)."""
    styles: list[tuple[int, list[str | None]]] = []
    for place, (part, sheet) in enumerate(sheets):
        cell = 0
        for row in part:
            own = []
            for content in cells(row):
                own.append(sheet.style(cell) if content else None)
                cell += 1
            styles.append((place, own))
    return styles


def _picture_data(row: Row, variants: Sequence[str], sheet: int, styles: Sequence[str | None]) -> list[dict[str, Any]]:
    place = dict(zip(variants, styles, strict=True))
    kept = ("variant", "objective", "recipe", "score", "percentile", "times_maximum", "steps", "seed")
    measured = ("rank", "robustness_loss", "frequency_distance", "path_similarity", "agreement", "picture_status")
    return [
        {name: picture[name] for name in kept}
        | {name: picture.get(name) for name in measured}
        | {"sheet": sheet, "style": place[picture["variant"]]}
        for picture in row["visualizations"]
    ]


def _example_data(row: Row, sheet: int, styles: Sequence[str | None]) -> list[dict[str, Any]]:
    kept = ("kind", "rank", "example_id", "label", "value", "row", "column")
    return [
        {name: example[name] for name in kept} | {"sheet": sheet, "style": style}
        for example, style in zip(row["examples"], styles, strict=True)
    ]
