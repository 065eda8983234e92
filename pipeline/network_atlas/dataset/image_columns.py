"""Images in Parquet files of other people: list their names, labels and row groups, and read one.

An image column holds the encoded files, as binary or as Hugging Face's struct<bytes: binary, path: string>.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from network_atlas.dataset.labels import label_text
from network_atlas.errors import DatasetError
from network_atlas.files.finding import DataFile
from network_atlas.files.reading import read_anywhere
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
    """The facts about one image that are known without reading it."""

    group: int
    row: int
    """Counted within the group."""
    number: int
    """Counted within the file."""
    name: str
    """'' when there is none."""
    label: str
    group_bytes: int
    """Stored bytes of the image column in the row group."""
    image: bytes | None
    """The image itself, where it was asked for."""
    is_null: bool
    """Whether there is no image, where that was looked at: for a row without a name, or with the image."""


def image_rows(file: DataFile, columns: Columns, *, with_images: bool) -> Iterator[ImageRow]:
    """Yield the rows of a Parquet file; without images only the names and labels are read.

    Raises DatasetError for a file that is not Parquet or lacks a column, and names the columns it has; and for a label
    that an atlas can't hold.
    """
    try:
        with read_anywhere(file) as stream, pq.ParquetFile(stream) as parquet:
            class_names = _class_names(parquet.schema_arrow, columns.label)
            read = _projection(file, parquet.schema_arrow, columns)
            first = 0
            for group in range(parquet.num_row_groups):
                part = _Group(file=file, parquet=parquet, number=group, first=first, columns=columns)
                yield from part.rows(read, class_names, with_images=with_images)
                first += parquet.metadata.row_group(group).num_rows
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(
            f"can't read {file.name!r} of dataset.root={file.root!r} as Parquet: {reason(error)}"
        ) from error


def read_image(file: DataFile, column: str, *, group: int, row: int) -> bytes | None:
    """Return the encoded image of one row of a row group, None where the cell is empty."""
    data: bytes | None = _cached_group(file, column, group)[row].as_py()
    return data


def _projection(file: DataFile, schema: pa.Schema, columns: Columns) -> list[str]:
    """Return the columns of labels and names; raise DatasetError where a column is missing or holds no images."""
    for name in (columns.image, columns.label, columns.name):
        if name and name not in schema.names:
            raise DatasetError(
                f"{file.name!r} of dataset.root={file.root!r} has no column {name!r}; it has "
                f"{', '.join(schema.names)}. Set dataset.image_column, label_column and name_column"
            )
        if name and schema.names.count(name) > 1:
            raise DatasetError(
                f"{file.name!r} of dataset.root={file.root!r} has {schema.names.count(name)} columns {name!r}; "
                "rename them, as nothing says which is meant"
            )
    kind = schema.field(columns.image).type
    fields = {field.name: field.type for field in kind} if pa.types.is_struct(kind) else {}
    if not _is_binary(fields.get("bytes", kind)):
        raise DatasetError(
            f"column {columns.image!r} of {file.name!r} is {kind}; images are binary, or "
            "struct<bytes: binary, path: string>"
        )
    read = [name for name in (columns.label, columns.name) if name]
    if not columns.name and "path" in fields:
        read.append(f"{columns.image}.path")
    return read


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """One row group of a file that is being listed."""

    file: DataFile
    parquet: pq.ParquetFile
    number: int
    first: int
    """The number of its first row in the file."""
    columns: Columns

    def rows(self, read: list[str], class_names: list[str], *, with_images: bool) -> Iterator[ImageRow]:
        """Yield the rows, of which the columns `read` are read."""
        columns, rows = self.columns, self.parquet.metadata.row_group(self.number).num_rows
        table = self.parquet.read_row_group(self.number, columns=read) if read else None
        labels = _values(table, columns.label, rows)
        names = [_name(value) for value in _values(table, columns.name or columns.image, rows)]
        images = _encoded(self.parquet, columns.image, self.number) if with_images or not all(names) else None
        size = self._image_bytes()
        for row, (name, label) in enumerate(zip(names, labels, strict=True)):
            number = self.first + row
            where = f"row {number} of {self.file.name!r} (column {columns.label!r})"
            yield ImageRow(
                group=self.number,
                row=row,
                number=number,
                name=name,
                label=label_text(label, class_names, where=where),
                group_bytes=size,
                # One at a time: a row group may be large, and only its hash is needed.
                image=images[row].as_py() if images is not None and with_images else None,
                is_null=images is not None and not images[row].is_valid,
            )

    def _image_bytes(self) -> int:
        """Return the stored bytes of the image column."""
        stored = self.parquet.metadata.row_group(self.number)
        columns = (stored.column(number) for number in range(stored.num_columns))
        return sum(
            column.total_compressed_size
            for column in columns
            if column.path_in_schema.split(".")[0] == self.columns.image
        )


def _values(table: pa.Table | None, column: str, rows: int) -> list[object]:
    """Return the values of a column that was read, else a null for each row."""
    return table.column(column).to_pylist() if table is not None and column in table.column_names else [None] * rows


def _name(value: object) -> str:
    name = value.get("path") if isinstance(value, dict) else value
    return "" if name is None or isinstance(name, bytes) else str(name)


def _encoded(parquet: pq.ParquetFile, column: str, group: int) -> pa.ChunkedArray:
    """Return the encoded images of one row group, null where a row has none."""
    struct = pa.types.is_struct(parquet.schema_arrow.field(column).type)
    images = parquet.read_row_group(group, columns=[f"{column}.bytes" if struct else column]).column(column)
    # pc.struct_field, unlike StructArray.field, gives null where the whole struct is null.
    return pc.struct_field(images, "bytes") if struct else images


def _class_names(schema: pa.Schema, column: str) -> list[str]:
    """Return the names that Hugging Face's metadata gives the numbers of a label column."""
    try:
        feature = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"][column]
        # A list of labels has its names one level deeper.
        return [str(name) for name in feature.get("feature", feature)["names"]]
    except (AttributeError, KeyError, TypeError, ValueError):
        return []


_groups: OrderedDict[tuple[DataFile, str, int], pa.ChunkedArray] = OrderedDict()
_lock = threading.Lock()


def _cached_group(file: DataFile, column: str, group: int) -> pa.ChunkedArray:
    """Return the encoded images of one row group; threads that need the same group wait for the first."""
    key = (file, column, group)
    with _lock:
        if key not in _groups:
            _groups[key] = _read_group(file, column, group)
            while len(_groups) > CACHED_GROUPS:
                _groups.popitem(last=False)
        _groups.move_to_end(key)
        return _groups[key]


def _read_group(file: DataFile, column: str, group: int) -> pa.ChunkedArray:
    try:
        with read_anywhere(file) as stream, pq.ParquetFile(stream) as parquet:
            return _encoded(parquet, column, group)
    except (OSError, pa.ArrowException, KeyError) as error:
        raise DatasetError(f"can't read {file.name!r} of dataset.root={file.root!r}: {reason(error)}") from error
