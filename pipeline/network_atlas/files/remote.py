"""Files of a dataset on any pyarrow filesystem: finding them by folder or pattern, and reading parts of them.

    files = find_files("s3://bucket/train/{000..255}.tar", (".tar",))
    read_part(files[0], offset=512, size=4096)

A root is a folder, a file or a pattern, local or a URI. In a pattern '*' and '?' stay within one folder, '**' does
not, '{a,b}' and '{000..012}' are lists. In a URI '?' begins the query (`?endpoint_override=...`). Nothing is written
here; the atlas itself is kept by `network_atlas.store.paths`.
"""

from __future__ import annotations

import io
import itertools
import os
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import bracex
import pyarrow as pa
from pyarrow import fs
from wcmatch import glob

from network_atlas.errors import DatasetError, UnreadableImageError
from network_atlas.files.filesystems import open_filesystem
from network_atlas.files.retries import reason, with_retries

FLAGS = glob.GLOBSTAR | glob.CASE | glob.DOTGLOB | glob.FORCEUNIX
"""Of globs over paths; braces are expanded before."""
OPEN_FILES = 64
"""Shards kept open per process; opening one on an object store costs a request."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file of a dataset, as it was when it was listed."""

    root: str
    """The root that it was found under, as the user wrote it; leads to the filesystem."""
    path: str
    """The path in the filesystem."""
    name: str
    """The path below the fixed part of the root: the same wherever the root is."""
    size: int
    changed_ns: int


def is_uri(root: str) -> bool:
    """Say whether `root` is a URI and not a path of this machine."""
    return "://" in root


def find_files(root: str, suffixes: tuple[str, ...]) -> tuple[RemoteFile, ...]:
    """Return the files under `root` that end in one of `suffixes`, sorted by name; hidden ones are left out.

    Raises DatasetError when the root is missing or can't be listed.
    """
    filesystem, whole = _opened(root)
    fixed = whole if _type(filesystem, whole, root) != fs.FileType.NotFound else _fixed_part(whole)
    found: dict[str, RemoteFile] = {}
    for pattern in [whole] if fixed == whole else list(bracex.iexpand(whole, limit=0)):
        for info in _matching(filesystem, pattern, root):
            # A file that is named outright may be hidden or of any suffix: it is what the user wants.
            name = info.path[len(fixed) :].lstrip("/") or info.base_name
            if name.lower().endswith(suffixes) and not any(part.startswith(".") for part in name.split("/")):
                found[info.path] = RemoteFile(root, info.path, name, int(info.size), int(info.mtime_ns or 0))
    return tuple(sorted(found.values(), key=lambda file: file.name))


def read_part(file: RemoteFile, *, offset: int, size: int) -> bytes:
    """Return `size` bytes from `offset`; may be called by many threads at once.

    Raises UnreadableImageError when the file ends before that, DatasetError when the filesystem fails.
    """
    data = _read_at(file, offset, size)
    if len(data) < size:
        raise UnreadableImageError(f"{file.name!r} ends {size - len(data)} bytes before the image does")
    return data


def read_through(file: RemoteFile, *, buffer_bytes: int) -> io.BufferedReader:
    """Return a stream over a file, which asks for `buffer_bytes` at a time; raises DatasetError as `read_part` does."""
    return io.BufferedReader(_Parts(file), buffer_bytes)


def read_anywhere(file: RemoteFile) -> pa.NativeFile:
    """Return a file for Arrow's readers to read anywhere in it; raises DatasetError as `read_part` does."""
    return pa.PythonFile(_Parts(file), mode="r")


class _Parts(io.RawIOBase):
    """A file read part by part, each part with retries."""

    def __init__(self, file: RemoteFile) -> None:
        super().__init__()
        self._file, self._at = file, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._file.size}[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:  # without it, Python's own would copy twice
        data = _read_at(self._file, self._at, max(0, self._file.size - self._at) if size < 0 else size)
        self._at += len(data)
        return data

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _read_at(file: RemoteFile, offset: int, size: int) -> bytes:
    """Return `size` bytes from `offset`, fewer where the file ends before; raise DatasetError if it can't be read."""
    what = f"read {file.name!r} of {file.root!r}"
    try:
        data: bytes = with_retries(lambda: _kept_open(file).read_at(size, offset), what=what)
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(f"can't read {file.name!r} of dataset.root={file.root!r}: {reason(error)}") from error
    return data


def read_below(root: str, path: str) -> bytes:
    """Return the whole file at `path` below the folder `root`; UnreadableImageError if there is none."""
    filesystem, base = _opened(root)

    def work() -> bytes:
        with filesystem.open_input_file(f"{base}/{path}") as file:
            data: bytes = file.read()
        return data

    try:
        return with_retries(work, what=f"read {path!r} of {root!r}")
    except FileNotFoundError as error:
        raise UnreadableImageError("there is no such file") from error
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(f"can't read {path!r} of dataset.root={root!r}: {reason(error)}") from error


@lru_cache(maxsize=OPEN_FILES)
def _kept_open(file: RemoteFile) -> pa.NativeFile:
    return _opened(file.root)[0].open_input_file(file.path)


@lru_cache(maxsize=16)
def _opened(root: str) -> tuple[fs.FileSystem, str]:
    """Return the filesystem of `root` and the path or pattern in it."""
    if not is_uri(root):
        return fs.LocalFileSystem(), os.path.abspath(os.path.expanduser(root))
    address, mark, query = root.partition("?")
    scheme, _, path = address.partition("://")
    bucket = path.split("/")[0]
    if "@" in bucket:
        raise DatasetError(
            f"dataset.root={scheme}://...@{bucket.rpartition('@')[2]}/... holds a password, and the atlas's pages show "
            "the root; give it by the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) or a profile"
        )
    try:
        # Only the bucket is handed over: a URI may hold no braces.
        only = f"{scheme}://{bucket}/{mark}{query}"
        filesystem, base = with_retries(lambda: open_filesystem(only), what=f"open {root!r}")
    except (pa.ArrowException, ValueError, OSError) as error:
        raise DatasetError(
            f"dataset.root={root!r} can't be opened: {reason(error)}. Give a folder, a pattern or a URI such as "
            "s3://bucket/train"
        ) from error
    return filesystem, "/".join(part for part in (base.rstrip("/"), path.partition("/")[2].rstrip("/")) if part)


def _type(filesystem: fs.FileSystem, path: str, root: str) -> fs.FileType:
    return _info(filesystem, path, root).type


def _info(filesystem: fs.FileSystem, path: str, root: str) -> fs.FileInfo:
    try:
        return with_retries(lambda: filesystem.get_file_info(path), what=f"look at {path!r} of {root!r}")
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(f"dataset.root={root!r} can't be looked at: {reason(error)}") from error


def _matching(filesystem: fs.FileSystem, pattern: str, root: str) -> list[fs.FileInfo]:
    """Return the files that a pattern without braces names: a file, those of a folder, or those of a glob."""
    folder = _fixed_part(pattern)
    info = _info(filesystem, pattern, root)
    if info.type == fs.FileType.File:
        return [info]
    if info.type == fs.FileType.NotFound and folder == pattern:
        raise DatasetError(f"dataset.root={root!r}: {pattern!r} does not exist; give a folder, a file or a pattern")
    listed_whole = info.type == fs.FileType.Directory
    # The folders before the first wildcard are meant letter for letter, whatever signs they hold.
    names = glob.compile(glob.escape(folder, unix=True) + pattern[len(folder) :], flags=FLAGS)
    base = pattern if listed_whole else folder
    selector = fs.FileSelector(base, recursive=True, allow_not_found=True)
    try:
        infos = with_retries(lambda: filesystem.get_file_info(selector), what=f"list {root!r}")
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(f"dataset.root={root!r} can't be listed: {reason(error)}") from error
    return [file for file in infos if file.type == fs.FileType.File and (listed_whole or names.match(file.path))]


def _fixed_part(pattern: str) -> str:
    """Return the folders before the first part with a wildcard; the whole where there is none."""
    parts = pattern.split("/")
    return "/".join(itertools.takewhile(lambda part: not re.search(r"[*?{]", part), parts))
