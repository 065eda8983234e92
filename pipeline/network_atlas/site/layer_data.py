"""The data files of a layer's page: scripts that hand the layer's numbers to the scripts in `static/`. Pure.

One holds what the grid needs of all channels, with a list instead of names for each; the others hold everything about
a few channels, and are read when one of these is opened. Scripts and not JSON: browsers refuse to fetch a file beside
a page that is opened from disk.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from network_atlas.layers import LayerSpec
from network_atlas.site.order import similarity_order
from network_atlas.site.packing import (
    CHANNELS_PER_PART,
    Part,
    Row,
    file_name,
    is_large,
    pictures_by_column,
)

NUMBERS = ("count", "mean", "variance", "minimum", "maximum")
STATISTICS = ("spatial_maximum", "spatial_mean", "partners", "duplicates", "classes", "class_selectivity")
NAMES = (
    *("name", "name_score", "name_by_chance", "unnamed", "names", "description", "descriptions"),
    *("clarity", "clarity_groups", "two_groups"),
)
OF_A_PICTURE = (
    *("key", "variant", "objective", "recipe", "depth", "score", "percentile", "times_maximum", "steps", "seed"),
)
MEASURED = (
    "rank",
    "standardized_rank",
    "path_percentile",
    "naturalness",
    "twin",
    "picture_verdict",
    "verdict_reasons",
    "start",
    "started_from",
    "robustness_loss",
    "frequency_distance",
    "path_similarity",
    "agreement",
    "picture_status",
    "attempt",
)
OF_AN_EXAMPLE = ("kind", "rank", "example_id", "label", "value", "row", "column")
OF_AN_EXAMPLE_HERE = (*OF_AN_EXAMPLE, "alike", "cut", "seen")
"""`cut`: the number of the crop's file, and its edges there; `seen`: edges of what the position sees, in the whole."""
OF_A_POSITION = ("top", "bottom", "class")
"""Kinds that show what one position saw."""
CURVE_POINTS = 64
"""Points of a picture's curve that the page draws; further ones are thinned out."""
DIGITS = 6
"""Significant digits of numbers on pages: the tables have all of them."""
SORTED_BY = (
    *("objective", "score", "percentile", "times_maximum", "standardized_rank", "path_percentile", "agreement"),
    *("naturalness", "robustness_loss", "frequency_distance", "picture_verdict"),
)
"""What the grid needs of a picture, besides its column, its file, and that of the same picture without a prior."""
OF_A_TILE = (
    "channel",
    "unit",
    "single",
    "className",
    "name",
    "name_score",
    "clarity",
    "status",
    "verdict",
    "class_selectivity",
)


def layer_script(info: AtlasFacts, spec: LayerSpec, rows: Sequence[Row], columns: Sequence[str]) -> bytes:
    """Return the script of a layer, whose grid has these columns of pictures: what the grid needs of each channel."""
    labels = sorted({shown["label"] for row in rows for shown in row.get("classes") or []})
    number_of = {label: number for number, label in enumerate(labels)}
    data = {
        "slug": spec.slug,
        "name": spec.name,
        "columns": columns,
        "perPart": CHANNELS_PER_PART,
        "fields": (*OF_A_TILE, *NUMBERS, "fraction_active", "classes", "pictures"),
        "ofPicture": ("column", "file", "full", "twinFile", *SORTED_BY),
        "labels": labels,
        "tiles": [_tile(row, columns, number_of) for row in rows],
        "similarity": similarity_order(rows),
        "seen": _seen(info, spec),
        "table": info.table,
        "provenance": info.provenance,
        "command": info.command,
    }
    return f"window.ATLAS_LAYER={script_json(data)};\n".encode()


def details_script(spec: LayerSpec, part: Part, columns: Sequence[str]) -> bytes:
    """Return the script with everything about the channels of one part."""
    files: dict[str, int] = {}
    wholes: dict[str, list[Any]] = {}
    examples = [[_example(example, files, wholes) for example in row["examples"]] for row in part.rows]
    channels = [
        {
            "channel": row["channel"],
            "unit": row["unit"],
            "single": row["single"],
            "className": row.get("class_name"),
            "name": row.get("name"),
            "status": row["status"],
            "verdict": row.get("verdict"),
            "pictures": _picture_data(row, columns),
            "examples": of_row,
            "numbers": {name: row[name] for name in NUMBERS},
            **{name: row.get(name) for name in (*STATISTICS, *NAMES)},
        }
        for row, of_row in zip(part.rows, examples, strict=True)
    ]
    data = script_json(
        {"ofExample": OF_AN_EXAMPLE_HERE, "files": list(files), "wholes": list(wholes.items()), "channels": channels}
    )
    name = script_json(f"{spec.slug}/{part.number}")
    return f"(window.ATLAS_DETAILS=window.ATLAS_DETAILS||{{}})[{name}]={data};\n".encode()


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


def _tile(row: Row, columns: Sequence[str], number_of: Mapping[str, int]) -> list[Any]:
    """Return what the grid needs of a row, in the order of `fields`."""
    known = {**row, "className": row.get("class_name")}
    pictures = [
        [columns.index(column), file_name(picture), int(is_large(picture)), _twin_file(picture)]
        + [picture.get(name) for name in SORTED_BY]
        for column, picture in pictures_by_column(row).items()
    ]
    return [
        *(known.get(name) for name in (*OF_A_TILE, *NUMBERS)),
        (row.get("spatial_maximum") or {}).get("fraction_active"),
        [number_of[shown["label"]] for shown in row.get("classes") or []],
        pictures,
    ]


def _twin_file(picture: Row) -> str | None:
    """Return the name of the file of the same picture without a prior; None for pictures that no prior pulled at."""
    twin = picture.get("twin")
    return file_name({"key": twin}) if twin else None


def _picture_data(row: Row, columns: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {name: picture[name] for name in OF_A_PICTURE}
        | {name: picture.get(name) for name in MEASURED}
        | {"column": column, "file": file_name(picture), "full": is_large(picture), "twinFile": _twin_file(picture)}
        | {"curve": _thinned(picture.get("curve") or [])}
        for column, picture in pictures_by_column(row).items()
    ]


def _example(example: Row, files: dict[str, int], wholes: dict[str, list[Any]]) -> list[Any]:
    """Return what the page knows of an example, in the order of `OF_AN_EXAMPLE_HERE`.

    Files are listed once for the part, in `files`; so are, by example, the whole images with what the model is shown.
    """

    def number(path: str) -> int:
        return files.setdefault(path.rpartition("/")[2].removesuffix(".webp"), len(files))

    crop, whole = example.get("crop"), example.get("image")
    if whole:
        wholes[example["example_id"]] = [number(whole), *_edges(example["shown"])]
    cut = [number(crop["file"]), *_edges(crop)] if crop else None
    seen = _edges(example["seen"]) if whole and example["kind"] in OF_A_POSITION else None
    return [*(example[name] for name in OF_AN_EXAMPLE), example.get("alike", 0), cut, seen]


def _edges(box: Row) -> list[float]:
    return [round(box[edge], 1) for edge in ("top", "left", "bottom", "right")]


def _thinned(curve: Sequence[Mapping[str, Any]]) -> list[tuple[int, float]]:
    every = max(1, math.ceil(len(curve) / CURVE_POINTS))
    kept = [*curve[::every], *(curve[-1:] if curve and (len(curve) - 1) % every else [])]
    return [(point["step"], point["score"]) for point in kept]


def script_json(value: object) -> str:
    """Return JSON that is safe inside a script: ASCII only, no '<' that could end it, no NaN."""
    return json.dumps(_finite(value), ensure_ascii=True, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _finite(value: object) -> object:
    """Return the value with null for NaN and infinity, which JSON does not have, and no digits that nobody reads."""
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if not isinstance(value, float):
        return value
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
