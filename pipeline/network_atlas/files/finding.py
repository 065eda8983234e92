"""Find the files of a dataset on any pyarrow filesystem, by folder, file or pattern.

    find_files("s3://bucket/train/{000..255}.tar", (".tar",))

A root is local or a URI. In a pattern '*' and '?' stay within one folder, '**' does not, and '{a,b}' and '{000..012}'
are lists. In a URI '?' begins the query (`?endpoint_override=...`). `files.reading` reads what was found.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import bracex
import pyarrow as pa
from pyarrow import fs
from wcmatch import glob

from network_atlas.errors import DatasetError
from network_atlas.files.filesystems import files_below, is_uri, open_filesystem, split_query
from network_atlas.files.retries import reason, with_retries

FLAGS = glob.GLOBSTAR | glob.CASE | glob.DOTGLOB | glob.FORCEUNIX
"""How globs over paths are read; braces are expanded before."""


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file of a dataset, with its size and time at the listing."""

    root: str
    """The root under which it was found, as the user wrote it; it leads to the filesystem."""
    path: str
    """The path in the filesystem."""
    name: str
    """The path below the fixed part of the root: the same wherever the root is."""
    size: int
    changed_ns: int

    @property
    def is_hidden(self) -> bool:
        """Whether the name, or that of a folder in it, begins with a dot."""
        return any(part.startswith(".") for part in self.name.split("/"))


def find_files(root: str, suffixes: tuple[str, ...]) -> tuple[DataFile, ...]:
    """Return the files under `root` that end in one of `suffixes`, sorted by name; hidden ones are left out.

    Raises DatasetError when the root is missing or can't be listed.
    """
    return tuple(file for file in list_files(root) if file.name.lower().endswith(suffixes) and not file.is_hidden)


def list_files(root: str) -> tuple[DataFile, ...]:
    """Return all files under `root`, sorted by name; raise DatasetError when it is missing or can't be listed."""
    filesystem, whole = opened_root(root)
    fixed = whole if _type(filesystem, whole, root) != fs.FileType.NotFound else _fixed_part(whole)
    files: dict[str, DataFile] = {}
    for pattern in [whole] if fixed == whole else list(bracex.iexpand(whole, limit=0)):
        for info in _matching(filesystem, pattern, root):
            name = info.path[len(fixed) :].lstrip("/") or info.base_name
            files[info.path] = DataFile(root, info.path, name, int(info.size), int(info.mtime_ns or 0))
    return tuple(sorted(files.values(), key=lambda file: file.name))


def find_beside(file: DataFile, names: Sequence[str]) -> tuple[DataFile, ...]:
    """Return the files of these names in another's folder; those that are not there are left out.

    Raises DatasetError when the folder can't be looked at.
    """
    filesystem, _ = opened_root(file.root)
    path, name = (text[: len(text) - len(os.path.basename(file.path))] for text in (file.path, file.name))
    infos = [_info(filesystem, path + each, file.root) for each in names]
    return tuple(
        DataFile(file.root, info.path, name + info.base_name, int(info.size), int(info.mtime_ns or 0))
        for info in infos
        if info.type == fs.FileType.File
    )


@lru_cache(maxsize=16)
def opened_root(root: str) -> tuple[fs.FileSystem, str]:
    """Return the filesystem of `root` and the path or pattern in it."""
    if not is_uri(root):
        return fs.LocalFileSystem(), os.path.abspath(os.path.expanduser(root))
    address, query = split_query(root)
    scheme, _, path = address.partition("://")
    bucket = path.split("/")[0]
    if "@" in bucket:
        raise DatasetError(
            f"dataset.root={scheme}://...@{bucket.rpartition('@')[2]}/... holds a password, and the atlas's pages show "
            "the root; give it by the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) or a profile"
        )
    try:
        # Only the bucket goes to pyarrow: its URIs may hold no braces.
        uri = f"{scheme}://{bucket}/{query}"
        filesystem, base = with_retries(lambda: open_filesystem(uri), what=f"open {root!r}")
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
    is_folder = info.type == fs.FileType.Directory
    # The folders before the first wildcard are taken literally, whatever characters they hold.
    names = glob.compile(glob.escape(folder, unix=True) + pattern[len(folder) :], flags=FLAGS)
    base = pattern if is_folder else folder
    try:
        files = with_retries(lambda: files_below(filesystem, base), what=f"list {root!r}")
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(f"dataset.root={root!r} can't be listed: {reason(error)}") from error
    return [file for file in files if is_folder or names.match(file.path)]


def _fixed_part(pattern: str) -> str:
    """Return the folders before the first part with a wildcard; the whole where there is none."""
    parts = pattern.split("/")
    return "/".join(itertools.takewhile(lambda part: not re.search(r"[*?{]", part), parts))
