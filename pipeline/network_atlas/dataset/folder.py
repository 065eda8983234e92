"""Image files in a folder, at any depth.

A file's path is its POSIX path below the root, character for character as the disk has it (no Unicode
normalization). A name that is not valid Unicode (foreign bytes on Linux) gets each bad byte written as U+FFFD
and four hexadecimal digits, so that every path can be stored as UTF-8 and still leads back to its file.

Hidden files and folders are skipped. Links to files and to folders are followed, except to a folder that the
way already led through. A link that leads nowhere is listed, and turns out unreadable.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from network_atlas.errors import DatasetError, UnreadableImageError

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderFiles:
    """The image files below `root`."""

    root: str
    """As the user gave it: messages repeat it."""
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
        if next(self.sizes(), None) is None:
            raise DatasetError(
                f"dataset.root={self.root!r} holds no images; looked at any depth for {', '.join(SUFFIXES)} "
                f"(upper or lower case), except in hidden folders; {fix}"
            )

    def sizes(self) -> Iterator[tuple[str, int | None]]:
        """Yield (path, size in bytes) of every image file, in any order; None for a link that leads nowhere."""
        try:
            for name, size in _walk(self._folder, "", frozenset()):
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


def path_label(path: str, label_by: str) -> str:
    """Return the label that the first folder of `path` ('folder') or its name ('name') gives, or ''."""
    if label_by == "folder":
        return path.partition("/")[0] if "/" in path else ""
    if label_by == "name":
        return PurePosixPath(path).stem.partition("_")[2].replace("_", " ")
    return ""


def escape(name: str) -> str:
    """Return `name` as valid Unicode: undecodable bytes and U+FFFD itself become U+FFFD and four digits."""
    return re.sub("[\ud800-\udfff\ufffd]", lambda found: f"\ufffd{ord(found[0]):04x}", name)


def unescape(path: str) -> str:
    """Return the name that `escape` made `path` of."""
    return re.sub("\ufffd(d[89a-f][0-9a-f]{2}|fffd)", lambda found: chr(int(found[1], 16)), path)


def _walk(folder: Path, prefix: str, above: frozenset[tuple[int, int]]) -> Iterator[tuple[str, int | None]]:
    """Yield (path, size) of the image files in `folder`, unless it is one of the folders `above` itself."""
    status = folder.stat()
    identity = (status.st_dev, status.st_ino)
    if identity in above:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            found = _status(entry)
            if found is not None and stat.S_ISDIR(found.st_mode):
                yield from _walk(folder / entry.name, f"{prefix}{entry.name}/", above | {identity})
            elif entry.name.lower().endswith(SUFFIXES) and (found is None or stat.S_ISREG(found.st_mode)):
                yield prefix + entry.name, None if found is None else found.st_size


def _status(entry: os.DirEntry[str]) -> os.stat_result | None:
    """Return the status of what `entry` is or leads to, None if it leads nowhere."""
    try:
        return entry.stat()
    except OSError:
        return None
