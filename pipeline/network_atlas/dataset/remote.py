"""What is read through `network_atlas.store`: tar and Parquet, and folders of an object store (s3://bucket/photos).

Paths and ids in such a folder are those of a local folder with the same files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from network_atlas.config.dataset import DatasetConfig
from network_atlas.dataset.folder import SUFFIXES, escape, path_label, unescape
from network_atlas.dataset.image_columns import Columns
from network_atlas.dataset.parquet import ParquetFiles
from network_atlas.dataset.tar import TarFiles
from network_atlas.errors import DatasetError, UnreadableImageError
from network_atlas.files.remote import find_files, read_below


def remote_files(config: DatasetConfig) -> TarFiles | ParquetFiles | RemoteFolderFiles:
    """Return the images that `config` names."""
    if config.source == "tar":
        return TarFiles(root=config.root, label_by=config.label, ids=config.ids)
    if config.source == "parquet":
        columns = Columns(image=config.image_column, label=config.label_column, name=config.name_column)
        return ParquetFiles(root=config.root, label_by=config.label, ids=config.ids, columns=columns)
    return RemoteFolderFiles(root=config.root, label_by=config.label)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFolderFiles:
    """The image files below `root`, a URI."""

    root: str
    label_by: str

    def check(self) -> None:
        """Raise DatasetError unless the folder holds at least one image file."""
        if next(self.sizes(), None) is None:
            raise DatasetError(
                f"dataset.root={self.root!r} holds no images; looked at any depth for {', '.join(SUFFIXES)}; "
                "set dataset.root to a folder of images"
            )

    def sizes(self) -> Iterator[tuple[str, int | None]]:
        """See `Files`."""
        for file in find_files(self.root, SUFFIXES):
            yield escape(file.name), file.size

    def content(self, path: str) -> bytes:
        """See `Files`."""
        name = unescape(path)
        if any(part in ("", ".", "..") or "\0" in part for part in name.split("/")):
            raise UnreadableImageError("not a path below the dataset's root")
        return read_below(self.root, name)

    def label(self, path: str) -> str:
        """Return the label that the file's folder or name gives it, or ''."""
        return path_label(path, self.label_by)
