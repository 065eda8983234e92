"""Immutable Parquet files: encoded whole in memory, checked, then put under a name derived from their content.

Image bytes are stored plain, uncompressed and without statistics (they are compressed already, and statistics would
copy whole pictures into the footer); other columns with zstd, statistics and a page index. Row groups are cut by
bytes, so that fetching one row reads a few MB at most.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import CorruptShardError
from pipeline.store.paths import Store

ROW_GROUP_BYTES = 6_000_000
ROW_GROUP_ROWS = 50_000

Row = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """One immutable file of an atlas, as receipts and manifests list it."""

    path: str
    size_bytes: int
    sha256: str
    rows: int


def encode(rows: Sequence[Row], schema: pa.Schema, *, sorted_by: Sequence[str] = ()) -> bytes:
    """Return `rows` as a whole Parquet file, its footer read back and its row count checked."""
    table = pa.Table.from_pylist(list(rows), schema=schema)
    if sorted_by and table.num_rows:
        table = table.sort_by([(name, "ascending") for name in sorted_by])
    buffer = io.BytesIO()
    _write(table, buffer, sorted_by)
    data = buffer.getvalue()
    if pq.read_metadata(io.BytesIO(data)).num_rows != len(rows):
        raise CorruptShardError(f"encoded {len(rows)} rows but the footer says otherwise")
    return data


def _write(table: pa.Table, buffer: io.BytesIO, sorted_by: Sequence[str]) -> None:
    images, others = _leaf_columns(table.schema)
    order = [pq.SortingColumn(table.schema.get_field_index(name)) for name in sorted_by]
    with pq.ParquetWriter(
        buffer,
        table.schema,
        compression=dict.fromkeys(images, "none") | dict.fromkeys(others, "zstd"),
        use_dictionary=others,
        column_encoding=dict.fromkeys(images, "PLAIN") or None,
        write_statistics=others,
        write_page_index=True,
        sorting_columns=order or None,
    ) as writer:
        for start, stop in _row_groups(table):
            writer.write_table(table.slice(start, stop - start), row_group_size=max(1, stop - start))


def _leaf_columns(schema: pa.Schema) -> tuple[list[str], list[str]]:
    """Return the Parquet paths of image bytes, and of all other leaves."""
    parquet = pq.ParquetFile(_empty(schema)).schema
    paths = [parquet.column(index).path for index in range(len(parquet))]
    images = [path for path in paths if path.rsplit(".", 1)[-1] == "bytes"]
    return images, [path for path in paths if path not in images]


def _empty(schema: pa.Schema) -> io.BytesIO:
    buffer = io.BytesIO()
    pq.write_table(schema.empty_table(), buffer)
    buffer.seek(0)
    return buffer


def _row_groups(table: pa.Table) -> list[tuple[int, int]]:
    rows_per_group = ROW_GROUP_ROWS
    if table.num_rows:
        rows_per_group = max(1, min(ROW_GROUP_ROWS, ROW_GROUP_BYTES * table.num_rows // max(1, table.nbytes)))
    starts = range(0, table.num_rows, rows_per_group)
    return [(start, min(start + rows_per_group, table.num_rows)) for start in starts]


def entry_for(path: str, data: bytes, rows: int) -> FileEntry:
    """Return the entry that describes `data` at `path`."""
    return FileEntry(path=path, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest(), rows=rows)


def put_shard(
    store: Store, directory: str, rows: Sequence[Row], schema: pa.Schema, *, sorted_by: Sequence[str] = ()
) -> FileEntry:
    """Write `rows` as `<directory>/part-<content hash>.parquet`; a late second writer can only write the same name."""
    data = encode(rows, schema, sorted_by=sorted_by)
    digest = hashlib.sha256(data).hexdigest()
    entry = entry_for(f"{directory}/part-{digest[:32]}.parquet", data, len(rows))
    store.write(entry.path, data)
    return entry


def put_table(
    store: Store, path: str, rows: Sequence[Row], schema: pa.Schema, *, sorted_by: Sequence[str] = ()
) -> FileEntry:
    """Write `rows` under a fixed name, replacing what was there."""
    data = encode(rows, schema, sorted_by=sorted_by)
    store.write(path, data)
    return entry_for(path, data, len(rows))


def read_rows(
    store: Store, path: str, *, columns: Sequence[str] | None = None, layer_index: int | None = None
) -> list[dict[str, object]]:
    """Return the rows of a shard as dictionaries, only those of one layer if asked; skips other row groups unread."""
    filters = None if layer_index is None else [("layer_index", "=", layer_index)]
    with store.open_input(path) as file:
        try:
            table = pq.read_table(file, columns=list(columns) if columns else None, filters=filters)
        except (pa.ArrowException, OSError) as error:
            raise _cut_short(store, path, error) from error
    rows: list[dict[str, object]] = table.to_pylist()
    return rows


def read_columns(store: Store, path: str, columns: Sequence[str]) -> dict[str, list[Any]]:
    """Return whole columns of a shard as lists; much faster than rows where there are many."""
    with store.open_input(path) as file:
        try:
            table = pq.read_table(file, columns=list(columns))
        except (pa.ArrowException, OSError) as error:
            raise _cut_short(store, path, error) from error
    return {name: table.column(name).to_pylist() for name in columns}


def read_first_rows(store: Store, path: str, count: int, *, columns: Sequence[str]) -> list[dict[str, object]]:
    """Return the first `count` rows of a shard, reading no more row groups than they take."""
    with store.open_input(path) as file:
        batches = pq.ParquetFile(file).iter_batches(batch_size=count, columns=list(columns))
        rows: list[dict[str, object]] = next((batch.to_pylist() for batch in batches), [])
    return rows


def _cut_short(store: Store, path: str, error: Exception) -> CorruptShardError:
    return CorruptShardError(
        f"{path!r} under store.root={store.root!r} is no whole Parquet file: {error}. "
        "Delete it and run again: what it held will be made anew."
    )
