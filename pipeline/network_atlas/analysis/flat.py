"""Flat tables for analysts, made of the nested ones: one row per channel, picture or example, and no column nested.

Every column keeps its description and unit. Image bytes are left out, except that of pictures where they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from network_atlas.analysis import tables
from network_atlas.analysis.example_files import ExampleFiles
from network_atlas.errors import StoreError
from network_atlas.store import schemas
from network_atlas.store.fields import IMAGE, field
from network_atlas.store.manifest import Manifest
from network_atlas.store.root import Store
from network_atlas.store.shards import read_leaves

SUBJECT = ("layer_index", "layer", "channel", "unit", "class_name", "status")
RENAMED = {"key": "picture_key"}
"""Of a picture's columns, those with another name where they stand beside a channel's."""
SOURCE = field(
    "source",
    pa.string(),
    "path or URI of the example's image; null where the dataset is no folder of files",
)
Columns: TypeAlias = dict[pa.Field, pa.Array]


def _is_flat(item: pa.Field) -> bool:
    return not pa.types.is_nested(item.type)


PICTURE_FIELDS = [item for item in schemas.ATLAS.field("visualizations").type.value_type if _is_flat(item)]
EXAMPLE_FIELDS = [item for item in schemas.CHANNEL_STATS.field("examples").type.value_type if _is_flat(item)]
STATISTICS = [item for item in schemas.CHANNEL_STATS if _is_flat(item) and item.name not in ("model", *SUBJECT)]
SHOWN = ("layer_index", "layer", "channel", "unit")
SHOWN_EXAMPLES = schemas.ATLAS.field("examples").type.value_type
CROP = field("crop", IMAGE, "WebP image of what the position sees")
CROP_FILE = field("crop_file", pa.string(), "the WebP file that the crop is a part of, by its path in the root")
SPATIAL = ("spatial_maximum", "spatial_mean")


def channels(store: Store, manifest: Manifest) -> pa.Table:
    """Return one row per channel, selected or not: status, measurements of its first picture, statistics.

    Channels that the sweep did not select have no picture and no status.
    """
    selected = _concatenated(store, manifest, "atlas", _channel_leaves(), _selected)
    selected = selected.filter(pc.is_valid(selected.column("channel")))
    everything = _concatenated(store, manifest, "channel_stats", _statistics_leaves(), _statistics)
    if not everything.num_rows:  # no dataset
        return selected
    # Of a channel that both tables have, the statistics are the same.
    of_atlas = [name for name in selected.column_names if name not in everything.column_names]
    keys = ["layer_index", "channel"]
    joined = everything.join(selected.select([*keys, *of_atlas]), keys=keys, join_type="left outer")
    order = [name for name in selected.column_names if name in joined.column_names]
    schema = pa.schema([selected.schema.field(name) for name in order])
    return joined.select(order).cast(schema).sort_by([(name, "ascending") for name in keys])


def pictures(store: Store, manifest: Manifest, *, images: bool) -> pa.Table:
    """Return one row per picture; with `images`, its PNG too."""
    leaves = [*SUBJECT, *(f"visualizations.list.element.{item.name}" for item in PICTURE_FIELDS)]

    def exploded(table: pa.Table) -> Columns:
        rows, values = _exploded(table.column("visualizations"))
        return _subject(table, rows) | _of_struct(values, PICTURE_FIELDS, RENAMED)

    made = _concatenated(store, manifest, "atlas", leaves, exploded)
    if not images:
        return made
    stored = tables.read(store, manifest, "visualizations", columns=["key", "image"])
    places = pc.index_in(made.column("picture_key"), value_set=stored.column("key").combine_chunks())
    return made.append_column(stored.schema.field("image"), stored.column("image").take(places))


def examples(store: Store, manifest: Manifest, source: Callable[[str], str | None]) -> pa.Table:
    """Return one row per channel and example: kind, rank, value, label, and where the image lies."""
    subject = ("layer_index", "layer", "channel")
    leaves = [*subject, *(f"examples.list.element.{item.name}" for item in EXAMPLE_FIELDS)]

    def exploded(table: pa.Table) -> Columns:
        rows, values = _exploded(table.column("examples"))
        columns = _subject(table, rows, subject) | _of_struct(values, EXAMPLE_FIELDS)
        ids = next(array for item, array in columns.items() if item.name == "example_id")
        return columns | {SOURCE: pa.array([source(name) for name in ids.to_pylist()], pa.string())}

    return _concatenated(store, manifest, "channel_stats", leaves, exploded)


def shown_examples(
    store: Store, manifest: Manifest, source: Callable[[str], str | None], layer: str | None
) -> pa.Table:
    """Return one row per example that pages show, of all layers or one: with its crop as WebP, and where that lies."""
    rows = tables.read(
        store, manifest, "atlas", columns=[*SHOWN, "examples"], layers=None if layer is None else [layer]
    )
    flat_rows, values = _exploded(rows.column("examples"))
    files, listed = ExampleFiles(store), values.to_pylist()
    crops = [{"bytes": files.crop_bytes(example), "path": None} for example in listed]
    edges = [item for item in SHOWN_EXAMPLES.field("crop").type if item.name != "file"]
    crop = _child(values, "crop")
    columns = _subject(rows, flat_rows, SHOWN) | _of_struct(values, EXAMPLE_FIELDS)
    columns |= {SOURCE: pa.array([source(example["example_id"]) for example in listed], pa.string())}
    columns |= _of_struct(values, [SHOWN_EXAMPLES.field("image")])
    columns |= {CROP: pa.array(crops, CROP.type), CROP_FILE: _child(crop, "file")}
    columns |= {_named(item, f"crop_{item.name}", "of the crop: "): _child(crop, item.name) for item in edges}
    return _as_table(columns)


def _channel_leaves() -> list[str]:
    of_pictures = [f"visualizations.list.element.{item.name}" for item in PICTURE_FIELDS]
    return [*SUBJECT, *of_pictures, *_statistics_leaves()]


def _statistics_leaves() -> list[str]:
    return ["layer_index", "layer", "channel", *(item.name for item in STATISTICS), *SPATIAL, "examples", "classes"]


def _selected(table: pa.Table) -> Columns:
    _, first = _exploded(table.column("visualizations"), only_first=True)
    return _subject(table) | _of_struct(first, PICTURE_FIELDS, RENAMED) | _statistics(table)


def _statistics(table: pa.Table) -> Columns:
    """Return a channel's numbers, each in a column of its own, and its first example and class."""
    columns = _subject(table, names=("layer_index", "layer", "channel"))
    columns |= {item: _whole(table.column(item.name)) for item in STATISTICS}
    for kind in SPATIAL:
        struct = _whole(table.column(kind))
        prefix = schemas.ATLAS.field(kind).metadata[b"description"].decode()
        for item in schemas.ATLAS.field(kind).type:
            if _is_flat(item):
                columns[_named(item, f"{kind}_{item.name}", f"{prefix}: ")] = _child(struct, item.name)
    for name, parts in {"examples": ("example_id", "label", "value"), "classes": ("label", "mean")}.items():
        _, first = _exploded(table.column(name), only_first=True)
        for item in schemas.CHANNEL_STATS.field(name).type.value_type:
            if item.name in parts:
                prefix = {"examples": "top", "classes": "class"}[name]
                says = {"examples": "of the first example: ", "classes": "of the class with the highest mean: "}[name]
                columns[_named(item, f"{prefix}_{item.name}", says)] = _child(first, item.name)
    return columns


def _named(item: pa.Field, name: str, prefix: str = "") -> pa.Field:
    metadata = item.metadata or {}
    description, unit = (metadata.get(key, b"").decode() for key in (b"description", b"unit"))
    return field(name, item.type, f"{prefix}{description or item.name}", unit)


def _subject(table: pa.Table, rows: pa.Array | None = None, names: Sequence[str] = SUBJECT) -> Columns:
    return {
        schemas.ATLAS.field(name): _whole(table.column(name) if rows is None else table.column(name).take(rows))
        for name in names
    }


def _of_struct(struct: pa.StructArray, fields: Sequence[pa.Field], renamed: dict[str, str] | None = None) -> Columns:
    return {_named(item, (renamed or {}).get(item.name, item.name)): _child(struct, item.name) for item in fields}


def _child(struct: pa.StructArray, name: str) -> pa.Array:
    return pc.struct_field(struct, name)  # null where the struct is


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], type=column.type)


def _exploded(column: pa.ChunkedArray, *, only_first: bool = False) -> tuple[pa.Array, pa.Array]:
    """Return the values of all lists, and the row of each; with `only_first`, one value per row, null for no value."""
    lists = _whole(column)
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    flat = lists.flatten()
    if not only_first:
        return pa.array(np.repeat(np.arange(len(lists)), lengths)), flat
    starts = np.cumsum(lengths) - lengths
    return pa.array(np.arange(len(lists))), flat.take(pa.array(starts, mask=lengths == 0, type=pa.int64()))


def _concatenated(
    store: Store, manifest: Manifest, name: str, leaves: Sequence[str], made: Callable[[pa.Table], Columns]
) -> pa.Table:
    """Return the tables that `made` makes of the leaf columns of each file, one after the other."""
    parts = [_as_table(made(table)) for table in _files(store, manifest, name, leaves)]
    return pa.concat_tables(parts) if parts else _as_table(made(tables.SCHEMAS[name].empty_table()))


def _files(store: Store, manifest: Manifest, name: str, leaves: Sequence[str]) -> Iterator[pa.Table]:
    for file in manifest.under(tables.FOLDERS[name]):
        paths = _leaf_paths(leaves)
        table = read_leaves(store, file.path, paths)
        lacking = [path for path in paths if not _has(table.schema, path)]
        if lacking:
            raise StoreError(
                f"{file.path} lacks the column {lacking[0]!r}: an earlier version of network_atlas wrote it. Run the "
                f"same command again, which writes its tables anew, or read what there is with table({name!r})"
            )
        yield table


def _has(schema: pa.Schema, path: str) -> bool:
    """Say whether a schema has a column, or a part of one by its Parquet path."""
    name, *rest = path.split(".")
    if name not in schema.names:
        return False
    kind = schema.field(name).type
    for part in (part for part in rest if part not in ("list", "element")):
        kind = kind.value_type if pa.types.is_list(kind) else kind
        if kind.get_field_index(part) < 0:
            return False
        kind = kind.field(part).type
    return True


def _leaf_paths(leaves: Sequence[str]) -> list[str]:
    """Return Parquet paths: of lists of examples and classes only what is used, so that no crop is read."""
    parts = {
        "examples": [f"examples.list.element.{name}" for name in ("example_id", "label", "value")],
        "classes": [f"classes.list.element.{name}" for name in ("label", "mean")],
    }
    return [path for leaf in leaves for path in parts.get(leaf, [leaf])]


def _as_table(columns: Columns) -> pa.Table:
    return pa.Table.from_arrays(list(columns.values()), schema=pa.schema(list(columns)))
