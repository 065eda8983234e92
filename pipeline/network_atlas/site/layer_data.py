"""The data file of a layer's page: a script that hands the layer's numbers to the scripts in `static/`. Pure.

A script and not JSON: browsers refuse to fetch a file beside a page that is opened from disk.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from network_atlas.layers import LayerSpec
from network_atlas.site.packing import Part, Row, file_name, pictures_by_column

NUMBERS = ("count", "mean", "variance", "minimum", "maximum")
STATISTICS = ("spatial_maximum", "spatial_mean", "partners", "duplicates", "classes", "class_selectivity")
OF_A_PICTURE = (
    *("key", "variant", "objective", "recipe", "depth", "score", "percentile", "times_maximum", "steps", "seed"),
)
MEASURED = (
    "rank",
    "standardized_rank",
    "path_percentile",
    "picture_verdict",
    "verdict_reasons",
    "start",
    "robustness_loss",
    "frequency_distance",
    "path_similarity",
    "agreement",
    "picture_status",
    "attempt",
)
OF_AN_EXAMPLE = ("kind", "rank", "example_id", "label", "value", "row", "column")
CURVE_POINTS = 64
"""Points of a picture's curve that the page draws; further ones are thinned out."""

SheetStyles = tuple[int, list[str | None]]
"""Of one row: the number of its sheet, and the style of each of its cells, None for an empty one."""


def layer_script(
    info: AtlasFacts,
    spec: LayerSpec,
    rows: Sequence[Row],
    columns: Sequence[str],
    *,
    pictures: Sequence[Part],
    crops: Sequence[Part],
) -> bytes:
    """Return the script of a layer, whose grid has these columns of pictures."""
    picture_styles = _styles(pictures, lambda row: [column in pictures_by_column(row) for column in columns])
    crop_styles = _styles(crops, lambda row: [bool(example["crop"]["bytes"]) for example in row["examples"]])
    channels = [
        {
            "channel": row["channel"],
            "unit": row["unit"],
            "single": row["single"],
            "className": row.get("class_name"),
            "status": row["status"],
            "verdict": row.get("verdict"),
            "pictures": _picture_data(row, columns, *picture_styles[number]),
            "examples": _example_data(row, *crop_styles[number]),
            "numbers": {name: row[name] for name in NUMBERS},
            **{name: row.get(name) for name in STATISTICS},
        }
        for number, row in enumerate(rows)
    ]
    data = {
        "slug": spec.slug,
        "name": spec.name,
        "columns": columns,
        "channels": channels,
        "seen": _seen(info, spec),
        "table": info.table,
        "provenance": info.provenance,
        "command": info.command,
    }
    return f"window.ATLAS_LAYER={script_json(data)};\n".encode()


class AtlasFacts(Protocol):
    """The facts about an atlas that a layer's script needs (`pages.AtlasInfo`)."""

    @property
    def provenance(self) -> tuple[tuple[str, str], ...]: ...

    @property
    def table(self) -> str: ...

    @property
    def command(self) -> str: ...

    @property
    def input_size(self) -> tuple[int, int]: ...


def _seen(info: AtlasFacts, spec: LayerSpec) -> dict[str, Any]:
    """Return what places a position of the layer's map in the network's input, in pixels."""
    field = spec.receptive_field
    return {
        "input": info.input_size,
        "positions": spec.positions,
        "tokens": spec.tokens,
        "side": spec.receptive_field_px,
        "field": None if field is None else [field.size_px, field.stride_px, field.centre_px],
    }


def _styles(parts: Sequence[Part], filled: Callable[[Row], Sequence[bool]]) -> list[SheetStyles]:
    """Return the styles of every row, in order; `filled` says which of a row's cells are."""
    styles: list[SheetStyles] = []
    for number, (rows, sheet) in enumerate(parts):
        cell = 0
        for row in rows:
            of_row: list[str | None] = []
            for is_filled in filled(row):
                of_row.append(sheet.style(cell) if is_filled else None)
                cell += 1
            styles.append((number, of_row))
    return styles


def _picture_data(row: Row, columns: Sequence[str], sheet: int, styles: Sequence[str | None]) -> list[dict[str, Any]]:
    style_of = dict(zip(columns, styles, strict=True))
    return [
        {name: picture[name] for name in OF_A_PICTURE}
        | {name: picture.get(name) for name in MEASURED}
        | {"column": column, "sheet": sheet, "style": style_of[column], "file": file_name(picture)}
        | {"curve": _thinned(picture.get("curve") or [])}
        for column, picture in pictures_by_column(row).items()
    ]


def _example_data(row: Row, sheet: int, styles: Sequence[str | None]) -> list[dict[str, Any]]:
    return [
        {name: example[name] for name in OF_AN_EXAMPLE}
        | {"sheet": sheet, "style": style, "alike": example.get("alike", 0)}
        for example, style in zip(row["examples"], styles, strict=True)
    ]


def _thinned(curve: Sequence[Mapping[str, Any]]) -> list[tuple[int, float]]:
    every = max(1, math.ceil(len(curve) / CURVE_POINTS))
    kept = [*curve[::every], *(curve[-1:] if curve and (len(curve) - 1) % every else [])]
    return [(point["step"], point["score"]) for point in kept]


def script_json(value: object) -> str:
    """Return JSON that is safe inside a script: ASCII only, no '<' that could end it, no NaN."""
    return json.dumps(_finite(value), ensure_ascii=True, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _finite(value: object) -> object:
    """Return the value with null for NaN and infinity, which JSON does not have."""
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
