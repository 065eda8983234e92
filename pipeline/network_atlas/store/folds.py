"""Encode many receipts as one Parquet file, and decode them. `store.receipts` decides when to do so."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from network_atlas.store.shards import FileEntry

if TYPE_CHECKING:
    from network_atlas.store.receipts import Receipt

_FILE = pa.struct([("path", pa.string()), ("size_bytes", pa.int64()), ("sha256", pa.string()), ("rows", pa.int64())])
SCHEMA = pa.schema(
    [
        ("task", pa.string()),
        ("keys", pa.list_(pa.string())),
        ("files", pa.list_(_FILE)),
        ("seconds", pa.float64()),
        ("finished", pa.float64()),
        ("unreadable", pa.int64()),
        ("network", pa.string()),
    ],
    metadata={"atlas.schema": "receipts", "atlas.version": "1"},
)


def encode(receipts: Sequence[Receipt]) -> bytes:
    """Return receipts of one stage as the bytes of a Parquet file."""
    columns = {
        "task": [receipt.task for receipt in receipts],
        "keys": [receipt.keys for receipt in receipts],
        "files": [[_plain(file) for file in receipt.files] for receipt in receipts],
        "seconds": [receipt.seconds for receipt in receipts],
        "finished": [receipt.finished for receipt in receipts],
        "unreadable": [receipt.unreadable for receipt in receipts],
        "network": [receipt.network for receipt in receipts],
    }
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns, schema=SCHEMA), buffer, compression="zstd")
    return buffer.getvalue()


def _plain(file: FileEntry) -> dict[str, object]:
    return {"path": file.path, "size_bytes": file.size_bytes, "sha256": file.sha256, "rows": file.rows}


def decode(data: bytes) -> Iterator[dict[str, Any]]:
    """Yield the fields of each receipt except its stage. Raises ArrowException or ValueError for other bytes.

    Works column by column: a hundred thousand receipts, row by row, would take seconds.
    """
    table = _read(data).combine_chunks()
    keys, files = (_whole(table, name) for name in ("keys", "files"))
    all_keys, entries = keys.values.to_pylist(), files.values
    columns = [entries.field(name).to_pylist() for name in ("path", "size_bytes", "sha256", "rows")]
    all_files = [
        FileEntry(path=path, size_bytes=size, sha256=digest, rows=rows)
        for path, size, digest, rows in zip(*columns, strict=True)
    ]
    key_ends, file_ends = keys.offsets.to_pylist(), files.offsets.to_pylist()
    names = ("task", "seconds", "unreadable", "finished", "network")
    for task, seconds, unreadable, finished, network, *ends in zip(
        *(table.column(name).to_pylist() for name in names),
        *(key_ends[:-1], key_ends[1:], file_ends[:-1], file_ends[1:]),
        strict=True,
    ):
        yield {
            "task": task,
            "keys": tuple(all_keys[ends[0] : ends[1]]),
            "files": tuple(all_files[ends[2] : ends[3]]),
            "seconds": seconds,
            "unreadable": unreadable,
            "finished": finished,
            "network": network,
        }


def _read(data: bytes) -> pa.Table:
    """Return the table of SCHEMA; a column that a file of another version lacks is null."""
    table = pq.ParquetFile(pa.BufferReader(data)).read()
    columns = [
        table.column(field.name).cast(field.type)
        if field.name in table.column_names
        else pa.nulls(len(table), field.type)
        for field in SCHEMA
    ]
    return pa.table(columns, schema=SCHEMA)


def _whole(table: pa.Table, name: str) -> pa.ListArray:
    """Return a column of lists as one array; the empty one added makes this work for a column without chunks."""
    column = table.column(name)
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays([pa.array([], column.type), *column.chunks])
