"""Sources: where examples come from, under ids that stay the same wherever and whenever they are read.

    source = open_source(config.dataset)
    for example in source.examples():
        image = source.read(example.example_id)

An example is a view of a file. Its id is the file's path below the source's root; with several views a '#' and
the view's number follow. The id depends neither on where the root is nor on what else is in it.

To add a source, write a class with the methods of `Files` and name it in `open_source`.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from PIL import Image

from pipeline.config.schema import DatasetConfig
from pipeline.dataset.decode import decode
from pipeline.dataset.folder import FolderFiles
from pipeline.dataset.photos import PhotoFiles
from pipeline.dataset.views import crop_view
from pipeline.errors import UnreadableImageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One image of the dataset."""

    example_id: str
    label: str
    """'' when unknown."""
    version: str
    """Text that changes when the image does: the file's size, `dataset.version`, and the seed of a crop."""


class Source(Protocol):
    """A dataset. Reading needs no listing first, and may be done by many threads and workers at once."""

    def examples(self) -> tuple[Example, ...]:
        """Return every example, or the `dataset.limit` ones with the smallest hashes, sorted by id."""
        ...

    def read(self, example_id: str) -> Image.Image:
        """Return the example in RGB, upright and cropped to its view.

        Raises UnreadableImageError with the id and the reason.
        """
        ...

    def label(self, example_id: str) -> str:
        """Return the example's label, '' when unknown."""
        ...


class Files(Protocol):
    """The image files of a source, by their paths below its root."""

    def check(self) -> None:
        """Raise DatasetError if the files cannot be found, or if there are none."""
        ...

    def sizes(self) -> Iterator[tuple[str, int | None]]:
        """Yield (path, size in bytes) of each file, in any order; None for the size of one that can't be read."""
        ...

    def locate(self, path: str) -> Path:
        """Return where the file is; raise UnreadableImageError for a path that is not the source's."""
        ...

    def label(self, path: str) -> str:
        """Return the file's label, '' when unknown."""
        ...


def open_source(config: DatasetConfig) -> Source:
    """Return the source that `config` names; raise DatasetError if it is missing or holds no images."""
    files: Files
    if config.source == "folder":
        files = FolderFiles(root=config.root, label_by=config.label)
    else:
        files = PhotoFiles(labelled=config.label != "none")
    files.check()
    return FileSource(files=files, config=config)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSource:
    """A source whose examples are views of image files."""

    files: Files
    config: DatasetConfig

    def examples(self) -> tuple[Example, ...]:
        """See `Source`. The files are listed anew on each call."""
        found = self._every_example()
        if self.config.limit:
            found = iter(heapq.nsmallest(self.config.limit, found, key=_rank))
        return tuple(sorted(found, key=lambda example: example.example_id))

    def read(self, example_id: str) -> Image.Image:
        """See `Source`."""
        try:
            path, view = self._path_and_view(example_id)
            image = self._decoded(self.files.locate(path))
        except UnreadableImageError as error:
            raise UnreadableImageError(f"cannot read example {example_id!r}: {error}") from error
        return crop_view(image, path, view=view, seed=self.config.seed)

    def _decoded(self, file: Path) -> Image.Image:
        if self.config.views == 1:
            return decode(file, max_pixels=self.config.max_pixels)
        try:
            changed_ns = file.stat().st_mtime_ns
        except OSError:
            changed_ns = 0  # decoding says what is wrong with it
        return _decode_once(file, changed_ns, self.config.max_pixels)

    def label(self, example_id: str) -> str:
        """See `Source`."""
        return self.files.label(self._path_and_view(example_id)[0])

    def _every_example(self) -> Iterator[Example]:
        for path, size in self.files.sizes():
            for view in range(self.config.views):
                yield self._example(path, size, view)

    def _example(self, path: str, size: int | None, view: int) -> Example:
        return Example(
            example_id=path if self.config.views == 1 else f"{path}#{view}",
            label=self.files.label(path),
            version=self._version(size, view),
        )

    def _version(self, size: int | None, view: int) -> str:
        parts = ["unreadable" if size is None else f"{size} bytes"]
        if view > 0:
            parts.append(f"seed {self.config.seed}")
        if self.config.version:
            parts.append(f"version {self.config.version}")
        return ", ".join(parts)

    def _path_and_view(self, example_id: str) -> tuple[str, int]:
        if self.config.views == 1:
            return example_id, 0
        path, _, number = example_id.rpartition("#")
        if not path or number not in map(str, range(self.config.views)):
            raise UnreadableImageError(f"{example_id!r} does not end in '#' and a view below {self.config.views}")
        return path, int(number)


@lru_cache(maxsize=4)
def _decode_once(file: Path, changed_ns: int, max_pixels: int) -> Image.Image:
    """Return a decoded file; the views of one image are read one after the other and share it."""
    return decode(file, max_pixels=max_pixels)


def _rank(example: Example) -> tuple[bytes, str]:
    return hashlib.sha256(example.example_id.encode()).digest(), example.example_id
