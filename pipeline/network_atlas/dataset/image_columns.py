"""Images in Parquet files of others: listing their names, labels and row groups, and reading one.

An image column holds the encoded files, as binary or as Hugging Face's struct<bytes: binary, path: string>.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from network_atlas.errors import DatasetError
from network_atlas.files.remote import RemoteFile, read_anywhere
from network_atlas.files.retries import reason

CACHED_GROUPS = 2
"""Row groups kept decoded per process: ids that sort like the rows read each group once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Which columns hold what; '' for none."""

    image: str
    label: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRow:
    """What is known of one image without reading it."""

    group: int
    row: int
    name: str
    """'' when there is none."""
    label: str
    group_bytes: int
    """Stored bytes of the image column in the row group."""
    image: bytes | None
    """The image itself, where it was asked for."""


def image_rows(file: RemoteFile, columns: Columns, *, with_images: bool) -> Iterator[ImageRow]:
    """Yield the rows of a Parquet file; without images only the names and labels are read.

    Raises DatasetError for a file that is not Parquet or lacks a column, and names the columns it has.
    """
    try:
        with read_anywhere(file) as stream, pq.ParquetFile(stream) as parquet:
            names = _class_names(parquet.schema_arrow, columns.label)
            wanted = _projection(file, parquet.schema_arrow, columns, with_images=with_images)
            for group in range(parquet.num_row_groups):
                yield from _group_rows(parquet, group, columns, wanted, names)
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(
            f"can't read {file.name!r} of dataset.root={file.root!r} as Parquet: {reason(error)}"
        ) from error


def read_image(file: RemoteFile, column: str, *, group: int, row: int) -> bytes | None:
    """Return the encoded image of one row of a row group, None where the cell is empty."""
    value = _cached_group(file, column, group)[row].as_py()
    data: bytes | None = value
    return data


def _projection(file: RemoteFile, schema: pa.Schema, columns: Columns, *, with_images: bool) -> list[str]:
    for name in (columns.image, columns.label, columns.name):
        if name and name not in schema.names:
            raise DatasetError(
                f"{file.name!r} of dataset.root={file.root!r} has no column {name!r}; it has "
                f"{', '.join(schema.names)}. Set dataset.image_column, label_column and name_column"
            )
    kind = schema.field(columns.image).type
    fields = {field.name: field.type for field in kind} if pa.types.is_struct(kind) else {}
    if not _is_binary(fields.get("bytes", kind)):
        raise DatasetError(
            f"column {columns.image!r} of {file.name!r} is {kind}; images are binary, or "
            "struct<bytes: binary, path: string>"
        )
    wanted = [name for name in (columns.label, columns.name) if name]
    if not columns.name and "path" in fields:
        wanted.append(f"{columns.image}.path")
    if with_images:
        wanted.append(f"{columns.image}.bytes" if fields else columns.image)
    return wanted


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _group_rows(
    parquet: pq.ParquetFile, group: int, columns: Columns, wanted: list[str], class_names: list[str]
) -> Iterator[ImageRow]:
    stored = parquet.metadata.row_group(group)
    size = sum(
        stored.column(number).total_compressed_size
        for number in range(stored.num_columns)
        if stored.column(number).path_in_schema.split(".")[0] == columns.image
    )
    table = parquet.read_row_group(group, columns=wanted) if wanted else None
    image = table.column(columns.image) if table is not None and columns.image in table.column_names else None
    names = table.column(columns.name) if table is not None and columns.name else image
    for row in range(stored.num_rows):
        name = names[row].as_py() if names is not None else None
        label = table.column(columns.label)[row].as_py() if table is not None and columns.label else None
        yield ImageRow(
            group=group,
            row=row,
            name=_name(name),
            label=_label(label, class_names),
            group_bytes=size,
            image=_bytes(image[row].as_py()) if image is not None else None,
        )


def _name(value: object) -> str:
    found = value.get("path") if isinstance(value, dict) else value
    return "" if found is None or isinstance(found, bytes) else str(found)


def _bytes(value: object) -> bytes | None:
    found = value.get("bytes") if isinstance(value, dict) else value
    return found if isinstance(found, bytes) else None


def _label(value: object, class_names: list[str]) -> str:
    if isinstance(value, int) and 0 <= value < len(class_names):
        return class_names[value]
    return "" if value is None else str(value)


def _class_names(schema: pa.Schema, column: str) -> list[str]:
    """Return the names that Hugging Face's metadata gives the numbers of a label column."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return [str(name) for name in features[column]["names"]]
    except (KeyError, TypeError, ValueError):
        return []


_groups: OrderedDict[tuple[RemoteFile, str, int], pa.ChunkedArray] = OrderedDict()
_lock = threading.Lock()


def _cached_group(file: RemoteFile, column: str, group: int) -> pa.ChunkedArray:
    """Return the encoded images of one row group; threads that want the same one wait for the first."""
    key = (file, column, group)
    with _lock:
        if key not in _groups:
            _groups[key] = _read_group(file, column, group)
            while len(_groups) > CACHED_GROUPS:
                _groups.popitem(last=False)
        _groups.move_to_end(key)
        return _groups[key]


def _read_group(file: RemoteFile, column: str, group: int) -> pa.ChunkedArray:
    try:
        with read_anywhere(file) as stream, pq.ParquetFile(stream) as parquet:
            struct = pa.types.is_struct(parquet.schema_arrow.field(column).type)
            table = parquet.read_row_group(group, columns=[f"{column}.bytes" if struct else column])
    except (OSError, pa.ArrowException, KeyError) as error:
        raise DatasetError(f"can't read {file.name!r} of dataset.root={file.root!r}: {reason(error)}") from error
    found = table.column(column)
    if not struct:
        return found
    return pa.chunked_array([chunk.field("bytes") for chunk in found.chunks], type=found.type.field("bytes").type)
