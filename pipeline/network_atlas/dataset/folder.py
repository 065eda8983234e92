"""Image files in a folder of this machine, at any depth.

A file's path is its POSIX path below the root, character for character as the disk has it (no Unicode
normalization). A name that is not valid Unicode (foreign bytes on Linux) gets each bad byte written as U+FFFD
and four hexadecimal digits, so that every path can be stored as UTF-8 and still leads back to its file.

Hidden files and folders are skipped. Links to files and to folders are followed, except to a folder that the path
already went through. A link that leads nowhere is listed, and turns out unreadable.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from network_atlas.dataset.image_formats import SUFFIXES, is_image_name
from network_atlas.dataset.skipped import Reason, Skipped
from network_atlas.errors import DatasetError, UnreadableImageError

HIDDEN = Reason("hidden image")
LOOP = Reason("looping link")
SPECIAL = Reason("special file")
"""A device, a socket or a pipe with an image's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderFiles:
    """The image files below `root`."""

    root: str
    """As the user wrote it: messages repeat it."""
    label_by: str

    def check(self) -> None:
        """Raise DatasetError unless the root is a folder that holds at least one image file."""
        fix = "set dataset.root to a folder of images"
        if not self.root.strip():
            raise DatasetError(f"dataset.root is empty; {fix}, or use dataset=photos")
        if not self._folder.exists():
            raise DatasetError(f"dataset.root={self.root!r} does not exist; {fix}")
        if not self._folder.is_dir():
            raise DatasetError(f"dataset.root={self.root!r} is not a folder; {fix}")
        skipped = Skipped()
        if next(self.sizes(skipped), None) is None:
            raise no_images(self.root, skipped)

    def sizes(self, skipped: Skipped) -> Iterator[tuple[str, int | None]]:
        """Yield (path, size in bytes) of every image file, in any order; None for a link that leads nowhere."""
        try:
            for name, size in _walk(self._folder, "", frozenset(), skipped):
                yield escape(name), size
        except OSError as error:
            raise DatasetError(f"dataset.root={self.root!r} cannot be listed: {error}; check its rights") from error

    def content(self, path: str) -> Path:
        """Return where the file is; raise UnreadableImageError for a path that could lead out of the root."""
        parts = unescape(path).split("/")
        for part in parts:
            # Path(part).name differs from part for '.', and on Windows for drives and backslashes.
            if part in ("", "..") or "\0" in part or Path(part).name != part:
                raise UnreadableImageError("not a path below the dataset's root")
        return self._folder.joinpath(*parts)

    def label(self, path: str) -> str:
        """Return the label that the file's folder or name gives it, or ''."""
        return path_label(path, self.label_by)

    @property
    def _folder(self) -> Path:
        return Path(self.root).expanduser()


def no_images(root: str, skipped: Skipped) -> DatasetError:
    """Return the error for a folder without images, which says what it holds instead."""
    instead = "".join(f"; {sentence}" for sentence in skipped.sentences())
    return DatasetError(
        f"dataset.root={root!r} holds no images{instead}; looked at any depth for {', '.join(SUFFIXES)} "
        "(upper or lower case), except in hidden folders; set dataset.root to a folder of images"
    )


def path_label(path: str, label_by: str) -> str:
    """Return the label that a path's first folder, its 'folders' or its 'name' gives, or ''."""
    if label_by == "folder":
        return path.partition("/")[0] if "/" in path else ""
    if label_by == "folders":
        return path.rpartition("/")[0]
    if label_by == "name":
        return PurePosixPath(path).stem.partition("_")[2].replace("_", " ")
    return ""


def escape(name: str) -> str:
    """Return `name` as valid Unicode: undecodable bytes and U+FFFD itself become U+FFFD and four digits."""
    return re.sub("[\ud800-\udfff\ufffd]", lambda match: f"\ufffd{ord(match[0]):04x}", name)


def unescape(path: str) -> str:
    """Return the name from which `escape` made `path`."""
    return re.sub("\ufffd(d[89a-f][0-9a-f]{2}|fffd)", lambda match: chr(int(match[1], 16)), path)


def reaches(root: Path, folder: Path) -> bool:
    """Say whether a listing of `root` would walk into `folder`, directly or through a link; it need not exist yet."""
    target = Path(os.path.realpath(folder))
    return any(target.is_relative_to(entered) for entered in _entered(root, frozenset()))


def _entered(folder: Path, above: frozenset[str]) -> Iterator[str]:
    """Yield the real paths of `folder` and of every folder that a link below it leads to.

    `above` holds the real paths of the folders on the way. Only links need to be resolved: what lies below a folder
    without a link in between is found by its path.
    """
    real = os.path.realpath(folder)
    if real in above:
        return
    if folder.is_symlink() or not above:
        yield real
    try:
        with os.scandir(folder) as entries:
            below = [Path(entry.path) for entry in entries if not entry.name.startswith(".") and entry.is_dir()]
    except OSError:  # the listing itself says what is wrong
        return
    for child in below:
        yield from _entered(child, above | {real})


def _walk(
    folder: Path, prefix: str, above: frozenset[tuple[int, int]], skipped: Skipped
) -> Iterator[tuple[str, int | None]]:
    """Yield (path, size) of the image files in `folder`, unless it is one of the folders `above` itself."""
    status = folder.stat()
    identity = (status.st_dev, status.st_ino)
    if identity in above:
        skipped.add(escape(prefix), LOOP)
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            name = prefix + entry.name
            if entry.name.startswith("."):
                if is_image_name(entry.name):
                    skipped.add(escape(name), HIDDEN)
                continue
            status_of_entry = _status(entry)
            if status_of_entry is not None and stat.S_ISDIR(status_of_entry.st_mode):
                yield from _walk(folder / entry.name, f"{name}/", above | {identity}, skipped)
            elif not is_image_name(entry.name):
                skipped.add_file(escape(name))
            elif status_of_entry is None:
                yield name, None
            elif stat.S_ISREG(status_of_entry.st_mode):
                yield name, status_of_entry.st_size
            else:
                skipped.add(escape(name), SPECIAL)


def _status(entry: os.DirEntry[str]) -> os.stat_result | None:
    """Return the status of `entry`, or of what it links to; None if it leads nowhere."""
    try:
        return entry.stat()
    except OSError:
        return None
