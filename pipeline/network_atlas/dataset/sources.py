"""Sources: where examples come from, under ids that stay the same wherever and whenever they are read.

    source = open_source(config.dataset)
    for example in source.examples():
        image = source.read(example.example_id)

An example is a view of an image. Its id is the image's path; with several views a '#' and the view's number follow.
The path comes from the image itself, never from its place in a list, from where the root is or what else is there:

    folder, photos      the file's path below the root, local or remote
    tar                 the member's name, whatever the shard (ids=shard: the shard's name before it)
    parquet             the name in the row, whatever the file; or the SHA-256 of the encoded image (ids=content)
    torchvision         the file's path below the root, or the dataset's own published number

To add a source, write a class with the methods of `Files` and name it in `open_source`.
"""

from __future__ import annotations

import hashlib
import heapq
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from PIL import Image

from network_atlas.config.dataset import DatasetConfig
from network_atlas.dataset.decode import decode
from network_atlas.dataset.folder import FolderFiles
from network_atlas.dataset.photos import PhotoFiles
from network_atlas.dataset.torchvision import TorchvisionFiles
from network_atlas.dataset.views import crop_view, view_box
from network_atlas.errors import DatasetError, UnreadableImageError
from network_atlas.files.retries import with_retries


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

    def read(self, example_id: str, *, side_min_px: int = 0) -> Image.Image:
        """Return the example in RGB, upright and cropped to its view.

        With `side_min_px` it may come reduced, its shorter side never below that.
        Raises UnreadableImageError with the id and the reason.
        """
        ...

    def origin(self, example_id: str) -> tuple[int, int]:
        """Return where in its image (row, column) the example begins: (0, 0) but for cropped views."""
        ...

    def label(self, example_id: str) -> str:
        """Return the example's label, '' when unknown."""
        ...


class Files(Protocol):
    """The images of a source, by their paths. A value: equal ones are the same source, and it can be pickled."""

    def check(self) -> None:
        """Raise DatasetError if the files cannot be found, or if there are none."""
        ...

    def sizes(self) -> Iterator[tuple[str, int | None]]:
        """Yield (path, size in bytes) of each image, in any order; None for the size of one that can't be read."""
        ...

    def content(self, path: str) -> Path | bytes:
        """Return the encoded image, or its file; raise UnreadableImageError for a path that is not the source's."""
        ...

    def label(self, path: str) -> str:
        """Return the file's label, '' when unknown."""
        ...


def open_source(config: DatasetConfig) -> Source:
    """Return the source that `config` names; raise DatasetError if it is missing or holds no images."""
    if config.source == "none":
        return NoSource()
    files = _files(config)
    files.check()
    return FileSource(files=files, config=config)


def _files(config: DatasetConfig) -> Files:
    root, label_by = config.root, config.label
    if config.source in ("tar", "parquet") or (config.source == "folder" and "://" in root):
        # Imported late: it loads pyarrow, which a local folder can do without.
        from network_atlas.dataset.remote import remote_files

        return remote_files(config)
    if config.source == "torchvision":
        return TorchvisionFiles(
            name=config.name,
            root=root,
            arguments=tuple(config.arguments.items()),
            download=config.download,
            labelled=label_by != "none",
        )
    if config.source == "photos":
        return PhotoFiles(labelled=label_by != "none")
    return FolderFiles(root=root, label_by=label_by)


@dataclass(frozen=True, slots=True)
class NoSource:
    """No dataset: pictures without examples."""

    def examples(self) -> tuple[Example, ...]:
        """Return nothing."""
        return ()

    def read(self, example_id: str, *, side_min_px: int = 0) -> Image.Image:
        """Raise UnreadableImageError: there are no examples."""
        raise UnreadableImageError(f"cannot read example {example_id!r}: dataset.source is none")

    def origin(self, example_id: str) -> tuple[int, int]:
        """Return (0, 0)."""
        return 0, 0

    def label(self, example_id: str) -> str:
        """Return ''."""
        return ""


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
        examples = tuple(sorted(found, key=lambda example: example.example_id))
        if not examples:
            raise DatasetError(
                f"no image of dataset.root={self.config.root!r} passes dataset.include, exclude and only"
            )
        return examples

    def read(self, example_id: str, *, side_min_px: int = 0) -> Image.Image:
        """See `Source`."""
        try:
            path, view = self._path_and_view(example_id)
            image = self._decoded(self.files.content(path), side_min_px)
        except UnreadableImageError as error:
            raise UnreadableImageError(f"cannot read example {example_id!r}: {error}") from error
        return crop_view(image, path, view=view, seed=self.config.seed)

    def _decoded(self, file: Path | bytes, side_min_px: int) -> Image.Image:
        if isinstance(file, bytes):
            return self._view_of(file, side_min_px)
        # A network disk fails for a moment now and then; bytes have been read with retries already.
        what = f"read {file.name!r} of dataset.root={self.config.root!r}"
        return with_retries(lambda: self._view_of(file, side_min_px), what=what)

    def _view_of(self, file: Path | bytes, side_min_px: int) -> Image.Image:
        if self.config.views == 1:
            return decode(file, max_pixels=self.config.max_pixels, side_min_px=side_min_px)
        if isinstance(file, bytes):
            return _decode_once(file, 0, self.config.max_pixels)
        try:
            changed_ns = file.stat().st_mtime_ns
        except OSError:
            changed_ns = 0  # decoding says what is wrong with it
        return _decode_once(file, changed_ns, self.config.max_pixels)

    def origin(self, example_id: str) -> tuple[int, int]:
        """See `Source`; reads the image where it is a cropped view."""
        path, view = self._path_and_view(example_id)
        if view == 0:
            return 0, 0
        whole = self._decoded(self.files.content(path), 0)
        top, left, _, _ = view_box((whole.height, whole.width), path, view=view, seed=self.config.seed)
        return top, left

    def label(self, example_id: str) -> str:
        """See `Source`."""
        return self.files.label(self._path_and_view(example_id)[0])

    def _every_example(self) -> Iterator[Example]:
        chosen = self._chosen()
        for path, size in self.files.sizes():
            if not chosen(path):
                continue
            for view in range(self.config.views):
                yield self._example(path, size, view)

    def _chosen(self) -> Callable[[str], bool]:
        """Return what says whether a path passes `include`, `exclude` and `only`."""
        include, exclude, only = self.config.include, self.config.exclude, _listed(self.config.only)

        def chosen(path: str) -> bool:
            if only is not None and path not in only:
                return False
            if include and not any(fnmatchcase(path, glob) for glob in include):
                return False
            return not any(fnmatchcase(path, glob) for glob in exclude)

        return chosen

    def _example(self, path: str, size: int | None, view: int) -> Example:
        return Example(
            example_id=path if self.config.views == 1 else f"{path}#{view}",
            label=sys.intern(self.files.label(path)),
            version=sys.intern(self._version(size, view)),
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


def _listed(file: str) -> frozenset[str] | None:
    """Return the ids that a text file lists, None without a file."""
    if not file:
        return None
    try:
        lines = Path(file).expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError) as error:
        raise DatasetError(
            f"dataset.only={file!r} can't be read: {error}; give a text file with one id a line"
        ) from error
    return frozenset(line for line in lines if line)


@lru_cache(maxsize=4)
def _decode_once(file: Path | bytes, changed_ns: int, max_pixels: int) -> Image.Image:
    """Return a decoded file; the views of one image are read one after the other and share it."""
    return decode(file, max_pixels=max_pixels)


def _rank(example: Example) -> tuple[bytes, str]:
    return hashlib.sha256(example.example_id.encode()).digest(), example.example_id
