"""Images in a column of Parquet files, as Hugging Face's `datasets` writes them, or as plain binary.

An id is the image's name (its `path` in the column, or `dataset.name_column`), the same in whichever file its row is;
without names, `dataset.ids=content` makes it the SHA-256 of the encoded image, for which each process reads all images
once. A row without an image is one unreadable example; where it has no name either, it is called by its file and row.
A whole row group is read at a time: reading is fast where the names sort as the rows do.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass

from network_atlas.dataset.folder import escape, path_label
from network_atlas.dataset.image_columns import Columns, ImageRow, image_rows, read_image
from network_atlas.dataset.members import IndexBuilder, MemberIndex, remembered
from network_atlas.dataset.skipped import Skipped
from network_atlas.errors import DatasetError, UnreadableImageError
from network_atlas.files.finding import DataFile, find_files

NO_IMAGE = "the row holds no image (null)"
FIX = "set dataset.root to a folder of .parquet files, one such file, or a pattern"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParquetFiles:
    """The images in the Parquet files under `root`."""

    root: str
    label_by: str
    ids: str
    columns: Columns

    def check(self) -> None:
        """Raise DatasetError unless there is at least one image."""
        if not self.root.strip():
            raise DatasetError(f"dataset.root is empty; {FIX}")
        if not self._shards():
            raise DatasetError(f"dataset.root={self.root!r} holds no .parquet files; {FIX}")
        if not self._index().names:
            raise DatasetError(f"the Parquet files of dataset.root={self.root!r} hold no rows")

    def sizes(self, skipped: Skipped) -> Iterator[tuple[str, int | None]]:
        """Yield (id, size): that of the image with ids=content, else that of its row group's images."""
        index = self._index()
        skipped.update(index.skipped)
        yield from index.sizes()

    def content(self, path: str) -> bytes:
        """See `Files`."""
        member = self._index(listed=False).find(path)
        data = read_image(_last[self][member.shard], self.columns.image, group=member.first, row=member.second)
        if data is None:
            raise UnreadableImageError(NO_IMAGE)
        return data

    def label(self, path: str) -> str:
        """Return the label in the row, or that the name gives, or ''."""
        return self._index(listed=False).label(path)

    def _shards(self) -> tuple[DataFile, ...]:
        shards = find_files(self.root, (".parquet",))
        _last[self] = shards
        return shards

    def _index(self, *, listed: bool = True) -> MemberIndex:
        shards = self._shards() if listed or self not in _last else _last[self]
        return remembered(self, shards, lambda: _indexed(self, shards))


_last: dict[ParquetFiles, tuple[DataFile, ...]] = {}
"""The files as they were last listed: reading one image must not list them all."""


def _indexed(files: ParquetFiles, shards: tuple[DataFile, ...]) -> MemberIndex:
    builder = IndexBuilder([shard.name for shard in shards])
    by_content = files.ids == "content"
    for number, shard in enumerate(shards):
        for row in image_rows(shard, files.columns, with_images=by_content):
            if row.is_null and (by_content or not row.name):
                builder.add_unreadable(f"{escape(shard.name)}/row {row.number}", shard=number, reason=NO_IMAGE)
                continue
            name = _id(files, shard, row)
            label = row.label if files.label_by == "column" else path_label(escape(row.name), files.label_by)
            size = len(row.image or b"") if by_content else row.group_bytes
            builder.add(name, shard=number, first=row.group, second=row.row, size=size, label=label)
    return builder.build(drop_repeated=by_content)


def _id(files: ParquetFiles, shard: DataFile, row: ImageRow) -> str:
    if files.ids == "content":
        return hashlib.sha256(row.image or b"").hexdigest()
    if not row.name:
        raise DatasetError(
            f"row {row.number} of {shard.name!r} does not name its image: give dataset.name_column, or "
            "dataset.ids=content to call images by their SHA-256"
        )
    name = posixpath.normpath(escape(row.name)).lstrip("/")
    return f"{escape(shard.name)}/{name}" if files.ids == "shard" else name
