"""Sources: where examples come from, under ids that stay the same wherever and whenever they are read.

    source = open_source(config.dataset)
    for example in source.examples():
        image = source.read(example.example_id)

An example is a view of an image. Its id is the image's path; with several views a '#' and the view's number follow.
The path comes from the image itself, never from its place in a list, from where the root is or what else lies there:

    folder, photos      the file's path below the root, local or remote
    tar                 the member's name, whatever the shard (ids=shard: the shard's name before it)
    parquet             the name in the row, whatever the file; or the SHA-256 of the encoded image (ids=content)
    torchvision         the file's path below the root, or the dataset's own published number

`dataset.opening` finds the files of each kind; views, subsets, labels and decoding are the same for all.
"""

from __future__ import annotations

import hashlib
import heapq
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import Image

from network_atlas.config.dataset import DatasetConfig
from network_atlas.dataset.base import Example, Listing, Source
from network_atlas.dataset.decode import decode
from network_atlas.dataset.opening import Files, open_files
from network_atlas.dataset.pillow_warnings import named
from network_atlas.dataset.skipped import UNREADABLE, Skipped
from network_atlas.dataset.subset import Subset
from network_atlas.dataset.views import crop_view, view_box
from network_atlas.errors import DatasetError, UnreadableImageError
from network_atlas.files.retries import with_retries


def open_source(config: DatasetConfig) -> Source:
    """Return the source that `config` names; raise DatasetError if it is missing, or has no images."""
    if config.root and config.source == "photos":
        # Photos are the default: a folder given without dataset=folder would give an atlas of the packaged photos.
        raise DatasetError(
            f"dataset=photos reads nothing from dataset.root={config.root!r}; to use images of your own add "
            "dataset=folder (or tar, parquet, torchvision)"
        )
    if config.source == "none":
        return NoSource()
    files = open_files(config)
    files.check()
    return FileSource(files=files, config=config)


@dataclass(frozen=True, slots=True)
class NoSource:
    """No dataset: pictures without examples."""

    def listing(self) -> Listing:
        """Return an empty listing."""
        return Listing(examples=())

    def examples(self) -> tuple[Example, ...]:
        """Return no examples."""
        return ()

    def read(self, example_id: str, *, side_min_px: int = 0) -> Image.Image:
        """Raise UnreadableImageError: there are no examples."""
        raise UnreadableImageError(f"cannot read example {example_id!r}: dataset.source is none")

    def origin(self, example_id: str) -> tuple[int, int]:
        """Return (0, 0)."""
        return 0, 0

    def image(self, example_id: str) -> str:
        """Return the id."""
        return example_id

    def label(self, example_id: str) -> str:
        """Return ''."""
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSource:
    """A source whose examples are views of image files."""

    files: Files
    config: DatasetConfig

    def listing(self) -> Listing:
        """See `Source`. The files are listed anew on each call."""
        skipped, subset = Skipped(), Subset.of(self.config)
        every_example = self._every_example(skipped, subset)
        limit = self.config.limit
        chosen = heapq.nsmallest(limit, every_example, key=_rank) if limit else every_example
        # Sorting exhausts the generator: only then are the counts complete.
        examples = tuple(sorted(chosen, key=lambda example: example.example_id))
        notices = (*skipped.sentences(), *subset.sentences())
        if not examples:
            raise DatasetError(
                f"no image of dataset.root={self.config.root!r} passes dataset.include, exclude and only"
                + "".join(f"; {notice}" for notice in notices)
            )
        return Listing(examples=examples, notices=notices)

    def _every_example(self, skipped: Skipped, subset: Subset) -> Iterator[Example]:
        for path, size in self.files.sizes(skipped):
            if not subset.holds(path):
                continue
            if size is None:
                skipped.add(path, UNREADABLE)
            for view in range(self.config.views):
                yield self._example(path, size, view)

    def examples(self) -> tuple[Example, ...]:
        """See `Source`."""
        return self.listing().examples

    def read(self, example_id: str, *, side_min_px: int = 0) -> Image.Image:
        """See `Source`."""
        try:
            path, view = self._path_and_view(example_id)
            with named(path):
                image = self._decoded(self.files.content(path), side_min_px)
        except UnreadableImageError as error:
            raise UnreadableImageError(f"cannot read example {example_id!r}: {error}") from error
        return crop_view(image, path, view=view, seed=self.config.seed)

    def _decoded(self, file: Path | bytes, side_min_px: int) -> Image.Image:
        if isinstance(file, bytes):
            return self._view_of(file, side_min_px)
        # A network disk fails for a moment now and then; bytes have been read with retries already.
        what = f"read {file.name!r} of dataset.root={self.config.root!r}"
        try:
            return with_retries(lambda: self._view_of(file, side_min_px), what=what)
        except PermissionError as error:
            raise self._not_now(file, "permission denied", "give this user the right to read it") from error
        except UnreadableImageError as error:
            # A link that leads nowhere is listed as unreadable; any other file was there at the listing.
            if isinstance(error.__cause__, FileNotFoundError) and not file.is_symlink():
                fix = "restore it, let every machine see the same folder, or give the command again to list anew"
                raise self._not_now(file, "there is no such file here", fix) from error
            raise

    def _not_now(self, file: Path, why: str, fix: str) -> DatasetError:
        """Return the error for an image that may be readable at another time or on another machine.

        It fails the task. As an unreadable image it would be left out for ever: the results' keys would stay the same
        when it can be read again.
        """
        return DatasetError(
            f"can't read {file.name!r} of dataset.root={self.config.root!r}: {why}; {fix}, or leave it out with "
            "dataset.exclude"
        )

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
        with named(path):
            whole = self._decoded(self.files.content(path), 0)
        top, left, _, _ = view_box((whole.height, whole.width), path, view=view, seed=self.config.seed)
        return top, left

    def image(self, example_id: str) -> str:
        """See `Source`."""
        return self._path_and_view(example_id)[0]

    def label(self, example_id: str) -> str:
        """See `Source`."""
        return self.files.label(self._path_and_view(example_id)[0])

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


@lru_cache(maxsize=4)
def _decode_once(file: Path | bytes, changed_ns: int, max_pixels: int) -> Image.Image:
    """Return a decoded file; the views of one image are read one after the other and share it."""
    return decode(file, max_pixels=max_pixels)


def _rank(example: Example) -> tuple[bytes, str]:
    return hashlib.sha256(example.example_id.encode()).digest(), example.example_id
