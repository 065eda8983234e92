"""Immutable Parquet files: encoded whole in memory, checked, then written under a name derived from their content.

Image bytes are stored plain, without compression (they are compressed already) and without statistics (which would copy
whole pictures into the footer). Lists of numbers are stored plain too, since they hardly compress. All other columns
have zstd, statistics and a page index. Row groups are limited by bytes, so that reading one row takes a few MB at most.

Tables that only this package reads may have `split_bytes`: numbers of structs in lists are stored first byte by first
byte, then the second ones, and so on, which zstd packs faster and smaller. Not every reader of Parquet knows that.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from network_atlas.errors import CorruptShardError
from network_atlas.files.retries import is_transient
from network_atlas.store.root import Data, Store

ROW_GROUP_BYTES = 6_000_000
ROW_GROUP_ROWS = 50_000
VALUES_AT_ONCE = 65_536
"""Values of a column per call of Parquet's encoder: lists of numbers take two thirds of the time of its own 1,024."""
CHECKED = {"page_checksum_verification": True}
"""Of whatever is read of a shard, Parquet compares the checksums of the pages."""

Row = Mapping[str, object]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """One immutable file of an atlas, as receipts and manifests list it."""

    path: str
    size_bytes: int
    sha256: str
    rows: int


def encode(rows: Sequence[Row], schema: pa.Schema, *, sorted_by: Sequence[str] = ()) -> pa.Buffer:
    """Return `rows` as the bytes of a Parquet file, whose footer and number of rows have been checked."""
    _check_columns(rows, schema)
    table = pa.Table.from_pylist(list(rows), schema=schema)
    if sorted_by and table.num_rows:
        table = table.sort_by([(name, "ascending") for name in sorted_by])
    return encode_table(table, sorted_by=sorted_by)


def _check_columns(rows: Sequence[Row], schema: pa.Schema) -> None:
    """Raise ValueError for a row without one of the columns, or with another: Arrow would silently fill or drop it."""
    names = set(schema.names)
    for number, row in enumerate(rows):
        if row.keys() != names:
            problems = {"lacks": sorted(names - row.keys()), "has the unknown": sorted(row.keys() - names)}
            problem = " and ".join(f"{verb} {', '.join(columns)}" for verb, columns in problems.items() if columns)
            table_name = (schema.metadata or {}).get(b"atlas.schema", b"").decode()
            raise ValueError(
                f"row {number} of {table_name!r} {problem}; fill every column of the schema where the row is made, "
                "with None if there is no value"
            )


def encode_table(table: pa.Table, *, sorted_by: Sequence[str] = (), split_bytes: bool = False) -> pa.Buffer:
    """Return a table as the bytes of a Parquet file, whose footer and number of rows have been checked."""
    stream = pa.BufferOutputStream(pa.system_memory_pool())  # malloc's: workers have it keep freed memory for reuse
    _write(table, stream, sorted_by, split_bytes=split_bytes)
    data = stream.getvalue()
    # Read back before it is put: afterwards a receipt would name a file that nobody can read.
    if pq.read_metadata(pa.BufferReader(data)).num_rows != table.num_rows:
        raise CorruptShardError(f"encoded {table.num_rows} rows, but the footer has another number; run again")
    return data


def _write(table: pa.Table, stream: pa.BufferOutputStream, sorted_by: Sequence[str], *, split_bytes: bool) -> None:
    raw, texts, encoded = _leaf_columns(table.schema)
    split = [path for path in encoded if "." in path and path not in texts] if split_bytes else []
    order = [pq.SortingColumn(table.schema.get_field_index(name)) for name in sorted_by]
    with pq.ParquetWriter(
        stream,
        table.schema,
        compression=dict.fromkeys(raw, "none") | dict.fromkeys(encoded, "zstd"),
        use_dictionary=texts,
        column_encoding=dict.fromkeys(raw, "PLAIN") | dict.fromkeys(split, "BYTE_STREAM_SPLIT") or None,
        write_statistics=[path for path in encoded if path not in split],
        write_page_index=True,
        write_page_checksum=True,
        write_batch_size=VALUES_AT_ONCE,
        sorting_columns=order or None,
    ) as writer:
        for start, stop in _row_groups(table):
            writer.write_table(table.slice(start, stop - start), row_group_size=max(1, stop - start))


def _leaf_columns(schema: pa.Schema) -> tuple[list[str], list[str], list[str]]:
    """Return the Parquet paths of three kinds of leaf columns: raw ones, texts, and all that are not raw.

    Raw are image bytes and lists of numbers.
    """
    # Only a written file knows its leaf paths, such as `list.element` for the values of a list.
    parquet = pq.ParquetFile(_empty(schema)).schema
    paths = [parquet.column(index).path for index in range(len(parquet))]
    lists = {
        item.name for item in schema if pa.types.is_list(item.type) and pa.types.is_primitive(item.type.value_type)
    }
    raw = [path for path in paths if path.rsplit(".", 1)[-1] == "bytes" or path.split(".")[0] in lists]
    leaves = {parquet.column(index).path: parquet.column(index).physical_type for index in range(len(parquet))}
    encoded = [path for path in paths if path not in raw]
    return raw, [path for path in encoded if leaves[path] == "BYTE_ARRAY"], encoded


def _empty(schema: pa.Schema) -> io.BytesIO:
    buffer = io.BytesIO()
    pq.write_table(schema.empty_table(), buffer)
    buffer.seek(0)
    return buffer


def _row_groups(table: pa.Table) -> list[tuple[int, int]]:
    rows_per_group = ROW_GROUP_ROWS
    if table.num_rows:
        # By the mean size of a row: the rows of one table are about equally large.
        rows_per_group = max(1, min(ROW_GROUP_ROWS, ROW_GROUP_BYTES * table.num_rows // max(1, table.nbytes)))
    starts = range(0, table.num_rows, rows_per_group)
    return [(start, min(start + rows_per_group, table.num_rows)) for start in starts]


def entry_for(path: str, data: Data, rows: int) -> FileEntry:
    """Return the entry of a file with the content `data` at `path`."""
    return FileEntry(path=path, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest(), rows=rows)


def put_encoded(store: Store, directory: str, data: Data, rows: int) -> FileEntry:
    """Write the bytes of a Parquet file as `<directory>/part-<content hash>.parquet`."""
    entry = _entry_by_content(directory, data, rows)
    store.write(entry.path, data)
    return entry


def _entry_by_content(directory: str, data: Data, rows: int) -> FileEntry:
    entry = entry_for("", data, rows)
    return replace(entry, path=f"{directory}/part-{entry.sha256[:32]}.parquet")


def put_shard(
    store: Store, directory: str, rows: Sequence[Row], schema: pa.Schema, *, sorted_by: Sequence[str] = ()
) -> FileEntry:
    """Write `rows` as `<directory>/part-<content hash>.parquet`. Another writer of these rows writes the same file."""
    return put_encoded(store, directory, encode(rows, schema, sorted_by=sorted_by), len(rows))


def put_new_shard(store: Store, directory: str, rows: Sequence[Row], schema: pa.Schema) -> FileEntry:
    """Write `rows` as `put_shard` does, unless the same file is there already."""
    data = encode(rows, schema)
    entry = _entry_by_content(directory, data, len(rows))
    if store.size(entry.path) != entry.size_bytes:
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
    """Return the rows of a shard as dictionaries; with `layer_index`, only that layer's, without reading the others."""
    rows: list[dict[str, object]] = read_table(store, path, columns=columns, layer_index=layer_index).to_pylist()
    return rows


def read_checked_rows(store: Store, path: str) -> list[dict[str, object]]:
    """Return all rows of a shard whose content is that of its name, 'part-<content hash>.parquet'.

    Raises CorruptShardError for a file that was edited since it was written, even if its size is the same.
    """
    data = store.read(path)
    if path != _entry_by_content(path.rpartition("/")[0], data, 0).path:
        raise CorruptShardError(
            f"{path!r} under store.root={store.root!r} was changed after it was written: its content is not "
            "that of its name. Delete it and run again: its results will be made again."
        )
    try:
        rows: list[dict[str, object]] = _table(pa.BufferReader(data)).to_pylist()
    except pa.ArrowException as error:
        raise _cut_short(store, path, error) from error
    return rows


def read_table(
    store: Store, path: str, *, columns: Sequence[str] | None = None, layer_index: int | None = None
) -> pa.Table:
    """Return a shard as a table; with `layer_index`, only that layer's rows, without reading other row groups."""
    names = list(columns) if columns else None
    if layer_index is None:
        return _use(store, path, lambda file: _table(file, names))
    filters = [("layer_index", "=", layer_index)]
    return _use(store, path, lambda file: pq.read_table(file, columns=names, filters=filters, **CHECKED))


def _table(file: pa.NativeFile, columns: list[str] | None = None) -> pa.Table:
    """Return the whole of a file, or some columns. Arrow's own `read_table` loads pandas, for .4 s."""
    parquet = pq.ParquetFile(file, pre_buffer=True, **CHECKED)
    if lacking := set(columns or ()) - set(parquet.schema_arrow.names):
        raise pa.ArrowInvalid(f"it has no column {', '.join(sorted(lacking))}")
    return parquet.read(columns=columns)


def read_leaves(store: Store, path: str, columns: Sequence[str]) -> pa.Table:
    """Return columns of a shard, or parts of columns by their Parquet path: 'visualizations.list.element.key'.

    Those that the file does not have are left out.
    """
    return _use(store, path, lambda file: pq.ParquetFile(file, **CHECKED).read(columns=list(columns)))


def read_where(store: Store, path: str, column: str, value: object) -> list[dict[str, object]]:
    """Return the rows of a shard that have a value in a column; row groups that can't hold it are not read."""
    filters = [(column, "=", value)]
    rows: list[dict[str, object]] = _use(
        store, path, lambda file: pq.read_table(file, filters=filters, **CHECKED).to_pylist()
    )
    return rows


def read_first_rows(store: Store, path: str, count: int, *, columns: Sequence[str]) -> list[dict[str, object]]:
    """Return the first `count` rows of a shard; read only the row groups that hold them."""

    def first(file: pa.NativeFile) -> list[dict[str, object]]:
        batches = pq.ParquetFile(file, **CHECKED).iter_batches(batch_size=count, columns=list(columns))
        return next((batch.to_pylist() for batch in batches), [])

    return _use(store, path, first)


def read_row_groups(store: Store, path: str, leaves: Sequence[str]) -> Iterator[list[dict[str, object]]]:
    """Yield the rows of a shard, a row group at a time: only parts of columns, by their Parquet path.

    Such a path is 'visualizations.list.element.image'.
    """
    for number in range(_use(store, path, lambda file: pq.ParquetFile(file).num_row_groups)):
        yield _use(store, path, lambda file, n=number: _row_group(file, n, leaves))  # type: ignore[misc]


def _row_group(file: pa.NativeFile, number: int, leaves: Sequence[str]) -> list[dict[str, object]]:
    table = pq.ParquetFile(file, **CHECKED).read_row_group(number, columns=list(leaves))
    rows: list[dict[str, object]] = table.to_pylist()
    return rows


def _use(store: Store, path: str, reading: Callable[[pa.NativeFile], _T]) -> _T:
    """Return the result of `reading` a shard. Raises CorruptShardError, without retries, for a damaged file."""

    def parsed(file: pa.NativeFile) -> _T:
        try:
            return reading(file)
        except (pa.ArrowException, OSError) as error:
            if is_transient(error):  # the filesystem's fault, not the file's
                raise
            raise _cut_short(store, path, error) from error

    return store.use(path, parsed)


def _cut_short(store: Store, path: str, error: Exception) -> CorruptShardError:
    return CorruptShardError(
        f"{path!r} under store.root={store.root!r} is not a whole Parquet file: {error}. "
        "Delete it and run again: its results will be made again."
    )
