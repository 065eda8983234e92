"""Read the tables of one snapshot as Arrow: exactly the files that its manifest lists, and of them only its own rows.

    read(store, manifest, "channel_stats", columns=["layer", "channel", "maximum"])

A shard may hold more than a snapshot uses: pictures of another sweep, layers that were scanned again since. Such rows
are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from network_atlas.errors import StoreError, did_you_mean
from network_atlas.store import attribution_schemas, layout_schemas, name_columns, scan_schemas, schemas
from network_atlas.store.manifest import Manifest
from network_atlas.store.root import Store
from network_atlas.store.shards import read_leaves

FOLDERS = {
    "atlas": "tables/atlas",
    "channel_stats": "tables/channel_stats",
    "concepts": "tables/concepts",
    "bases": "tables/bases",
    "layers": "tables/layers",
    "examples": "examples",
    "activation_samples": "activation_samples",
    "activation_atlas": "tables/activation_atlas",
    "layouts": "layouts",
    "cells": "cells",
    "directions": "directions",
    "visualizations": "visualizations",
    "attributions": "attributions",
    "edges": "edges",
    "circuits": "circuits",
    "statistics": "statistics",
    "failures": "failures/images",
}
"""Name of a table to the folder of its files."""
SCHEMAS = {
    "atlas": schemas.ATLAS,
    "channel_stats": schemas.CHANNEL_STATS,
    "concepts": name_columns.CONCEPTS,
    "bases": name_columns.BASES,
    "layers": schemas.LAYERS,
    "examples": scan_schemas.EXAMPLES,
    "activation_samples": scan_schemas.ACTIVATION_SAMPLES,
    "activation_atlas": layout_schemas.ACTIVATION_ATLAS,
    "layouts": layout_schemas.LAYOUTS,
    "cells": layout_schemas.CELLS,
    "directions": layout_schemas.DIRECTIONS,
    "visualizations": schemas.VISUALIZATIONS,
    "attributions": attribution_schemas.ATTRIBUTIONS,
    "edges": attribution_schemas.EDGES,
    "circuits": attribution_schemas.CIRCUITS,
    "statistics": scan_schemas.DATASET_STATISTICS,
    "failures": scan_schemas.FAILURES,
}
ORDER = {
    "atlas": ("layer_index",),
    "channel_stats": ("layer_index", "channel"),
    "concepts": ("layer_index", "node"),
    "bases": ("layer_index", "basis"),
    "layers": ("layer_index",),
    "attributions": ("layer_index", "channel"),
    "circuits": ("layer_index", "channel", "group"),
    "edges": ("layer_index", "channel", "parent_index", "sign", "rank"),
    "examples": ("example_id",),
    "activation_samples": ("layer_index", "example_id"),
    "activation_atlas": ("layer_index", "grid", "row", "column"),
    "layouts": ("layer_index", "example_id", "drawn"),
    "cells": ("layer_index", "grid", "row", "column"),
    "directions": ("layer_index",),
}
"""Columns by which rows are sorted; the rows of a layer in `atlas` and `directions` keep their order."""

Kept = tuple[str, Sequence[object]]
"""A column, and the values that rows to keep have in it."""


def read(
    store: Store,
    manifest: Manifest,
    name: str,
    *,
    columns: Sequence[str] | None = None,
    layers: Sequence[str] | None = None,
) -> pa.Table:
    """Return a table of a snapshot, or some of its columns, or the rows of some layers.

    Raises StoreError for a table or a column that does not exist, and CorruptShardError for a file that is damaged.
    """
    if name not in FOLDERS:
        raise StoreError(f"an atlas has no table {name!r}; it has {', '.join(FOLDERS)}.{did_you_mean(name, FOLDERS)}")
    schema = SCHEMAS[name]
    asked = list(schema.names if columns is None else columns)
    unknown = [column for column in asked if column not in schema.names]
    if unknown:
        close = did_you_mean(unknown[0], schema.names)
        raise StoreError(f"{name!r} has no column {unknown[0]!r}; it has {', '.join(schema.names)}.{close}")
    helping = [column for column in (*ORDER.get(name, ()), *_filtered(name)) if column not in asked]
    parts = [
        _rows(_whole(store, path, [*asked, *helping], schema), kept) for path, kept in _parts(store, manifest, name)
    ]
    table = pa.concat_tables(parts) if parts else _part_of(schema, [*asked, *helping]).empty_table()
    if layers is not None and "layer" in table.column_names:
        table = _rows(table, ("layer", layers))
    if name in ORDER:
        table = table.sort_by([(column, "ascending") for column in ORDER[name]])
    if name == "examples" and "number" in asked:  # files count the examples of their own span
        numbers = pa.array(range(len(table)), pa.int64())
        table = table.set_column(table.column_names.index("number"), schema.field("number"), numbers)
    return table.select(asked)


def _filtered(name: str) -> tuple[str, ...]:
    """Return the column by which rows of other snapshots are left out."""
    return {"activation_samples": ("layer",), "visualizations": ("key",), "atlas": ("layer",)}.get(name, ())


def _parts(store: Store, manifest: Manifest, name: str) -> Iterable[tuple[str, tuple[str, Sequence[object]] | None]]:
    """Yield each file of a table, with the column and its values that the snapshot's rows have; None for all rows."""
    folder = FOLDERS[name]
    if name == "activation_samples":
        for group in manifest.scans:
            for path in group.files:
                if path.startswith(f"{folder}/"):
                    yield path, ("layer", group.layers)
    elif name == "visualizations":
        keys = picture_keys(store, manifest)
        for file in manifest.under(folder):
            yield file.path, ("key", keys)
    else:
        for file in manifest.under(folder):
            yield file.path, None


def picture_keys(store: Store, manifest: Manifest) -> list[str]:
    """Return the keys of all pictures of a snapshot."""
    files = manifest.under(FOLDERS["atlas"])
    tables = (read_leaves(store, file.path, ["visualizations.list.element.key"]) for file in files)
    return [str(picture["key"]) for table in tables for row in table.column(0).to_pylist() for picture in row or ()]


def _rows(table: pa.Table, kept: Kept | None) -> pa.Table:
    if kept is None:
        return table
    column, values = kept
    there = table.column(column)
    return table.filter(pc.is_in(there, value_set=pa.array(values, type=there.type)))


def _whole(store: Store, path: str, columns: Sequence[str], schema: pa.Schema) -> pa.Table:
    """Return columns of a file; those that it lacks, since an earlier version wrote it, are null."""
    table = read_leaves(store, path, columns)
    for name in columns:
        if name not in table.column_names:
            table = table.append_column(schema.field(name), pa.nulls(table.num_rows, schema.field(name).type))
    return table.select(columns).cast(_part_of(schema, columns))


def _part_of(schema: pa.Schema, columns: Sequence[str]) -> pa.Schema:
    return pa.schema([schema.field(name) for name in columns])
