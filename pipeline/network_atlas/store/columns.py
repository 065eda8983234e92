"""Tables as columns of numbers: for tables that are too large for a dictionary per row.

    put_columns(store, "scan/partials", {"channel": numbers, "top": Lists(lengths, {"value": values})}, schema)
    read_columns(store, path, ["channel", "top"], layer_index=3)["top"].values["value"]

A column is an array, a list of texts, or `Lists`: one list per row, laid end to end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from network_atlas.store.root import Store
from network_atlas.store.shards import FileEntry, encode_table, put_encoded, read_table

Flat = NDArray[Any] | Sequence[str]


@dataclass(frozen=True, slots=True)
class Lists:
    """One list per row: the length of each, and the values of all, end to end.

    Lists of structs have a column per field. Shapes: `lengths` (rows,), `values` and each of its columns (values,).
    """

    lengths: NDArray[np.integer]
    values: Flat | Mapping[str, Flat]


Column = Flat | Lists


def put_columns(store: Store, directory: str, columns: Mapping[str, Column], schema: pa.Schema) -> FileEntry:
    """Write columns as `<directory>/part-<content hash>.parquet`; the order of the rows is kept."""
    table = pa.table([_array(columns[field.name], field.type) for field in schema], schema=schema)
    return put_encoded(store, directory, encode_table(table, split_bytes=True), table.num_rows)


def read_columns(store: Store, path: str, names: Sequence[str], *, layer_index: int | None = None) -> dict[str, Any]:
    """Return columns of a shard by name: arrays of numbers or texts, shape (rows,), or `Lists`.

    Structs are dictionaries of their fields' columns. With `layer_index`, only the rows of that layer.
    """
    table = read_table(store, path, columns=names, layer_index=layer_index)
    return {name: _column(table.column(name).combine_chunks()) for name in names}


def _array(column: Column, type_: pa.DataType) -> pa.Array:
    if not isinstance(column, Lists):
        return pa.array(column, type=type_)
    # 32 bits are what Arrow's lists have: a table's lists hold less than 2**31 values.
    offsets = np.concatenate([[0], np.cumsum(column.lengths)]).astype(np.int32)
    if isinstance(column.values, Mapping):
        fields = list(type_.value_type)
        parts = [_array(column.values[field.name], field.type) for field in fields]
        values = pa.StructArray.from_arrays(parts, fields=fields)
    else:
        values = _array(column.values, type_.value_type)
    return pa.ListArray.from_arrays(pa.array(offsets), values, type=type_)


def _column(array: pa.Array) -> Any:
    if isinstance(array, pa.ChunkedArray):  # an empty table has no chunk to combine
        array = array.combine_chunks() if array.num_chunks else pa.array([], type=array.type)
    if pa.types.is_struct(array.type):
        return _parts(array)
    if not pa.types.is_list(array.type):
        return array.to_numpy(zero_copy_only=False)
    lengths = np.diff(array.offsets.to_numpy())
    flat = array.flatten()
    return Lists(lengths, _column(flat))


def _parts(array: pa.StructArray) -> dict[str, Any]:
    names = [field.name for field in array.type]
    return {name: _column(part) for name, part in zip(names, array.flatten(), strict=True)}
