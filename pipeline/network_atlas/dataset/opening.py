"""Open the image files that `dataset.source` names, whatever they are packed in.

    files = open_files(config.dataset)       # a folder, tars, Parquet files, a torchvision dataset, packaged photos
    for path, size in files.sizes(Skipped()):
        encoded = files.content(path)

To add a source, write a class with the methods of `Files` and name it in `open_files`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from network_atlas.config.dataset import DatasetConfig
from network_atlas.dataset.folder import FolderFiles
from network_atlas.dataset.photos import PhotoFiles
from network_atlas.dataset.skipped import Skipped
from network_atlas.dataset.torchvision import TorchvisionFiles


class Files(Protocol):
    """The images of a source, by their paths. A value: equal ones are the same source, and it can be pickled."""

    def check(self) -> None:
        """Raise DatasetError if the files cannot be found, or if there are none."""
        ...

    def sizes(self, skipped: Skipped) -> Iterator[tuple[str, int | None]]:
        """Yield (path, size in bytes) of each image, in any order; None for the size of one that can't be read.

        What is left out is counted in `skipped`.
        """
        ...

    def content(self, path: str) -> Path | bytes:
        """Return the encoded image, or its file; raise UnreadableImageError for a path that is not the source's."""
        ...

    def label(self, path: str) -> str:
        """Return the file's label, '' when unknown."""
        ...


def open_files(config: DatasetConfig) -> Files:
    """Return the files that `config` names, which nobody has looked at yet."""
    if config.source == "photos":
        return PhotoFiles(labelled=config.label != "none")
    if config.source == "torchvision":
        return TorchvisionFiles(
            name=config.name,
            root=config.root,
            arguments=tuple(config.arguments.items()),
            download=config.download,
            labelled=config.label != "none",
        )
    if config.source == "folder" and "://" not in config.root:
        return FolderFiles(root=config.root, label_by=config.label)
    return _through_pyarrow(config)


def _through_pyarrow(config: DatasetConfig) -> Files:
    # Imported late: they load pyarrow, which a local folder can do without.
    from network_atlas.dataset.image_columns import Columns
    from network_atlas.dataset.parquet import ParquetFiles
    from network_atlas.dataset.remote_folder import RemoteFolderFiles
    from network_atlas.dataset.tar import TarFiles

    if config.source == "tar":
        return TarFiles(root=config.root, label_by=config.label, ids=config.ids)
    if config.source == "parquet":
        label = (
            config.label_column if config.label == "column" else ""
        )  # else a column that is not used could be refused
        columns = Columns(image=config.image_column, label=label, name=config.name_column)
        return ParquetFiles(root=config.root, label_by=config.label, ids=config.ids, columns=columns)
    return RemoteFolderFiles(root=config.root, label_by=config.label)
