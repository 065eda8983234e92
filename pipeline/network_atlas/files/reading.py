"""Read the files of a dataset on any pyarrow filesystem, whole or in parts, with retries.

    file = find_files("s3://bucket/train/000.tar", (".tar",))[0]
    read_part(file, offset=512, size=4096)

Nothing is written here. The atlas itself is read and written by `network_atlas.store.root`.
"""

from __future__ import annotations

import io
import os
from functools import lru_cache
from typing import Any

import pyarrow as pa

from network_atlas.errors import DatasetError, UnreadableImageError
from network_atlas.files.finding import DataFile, opened_root
from network_atlas.files.retries import reason, with_retries

OPEN_FILES = 64
"""Files kept open per process; opening one on an object store costs a request."""


def read_part(file: DataFile, *, offset: int, size: int) -> bytes:
    """Return `size` bytes from `offset`; may be called by many threads at once.

    Raises UnreadableImageError when the file ends before that, DatasetError when the filesystem fails.
    """
    data = _read_at(file, offset, size)
    if len(data) < size:
        raise UnreadableImageError(f"{file.name!r} ends {size - len(data)} bytes before the image does")
    return data


def read_through(file: DataFile, *, buffer_bytes: int) -> io.BufferedReader:
    """Return a stream over a file, which asks for `buffer_bytes` at a time; raises DatasetError as `read_part` does."""
    return io.BufferedReader(_Parts(file), buffer_bytes)


def read_anywhere(file: DataFile) -> pa.NativeFile:
    """Return a file for Arrow's readers to read anywhere in it; raises DatasetError as `read_part` does."""
    return pa.PythonFile(_Parts(file), mode="r")


class _Parts(io.RawIOBase):
    """A file read part by part, each part with retries."""

    def __init__(self, file: DataFile) -> None:
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


def _read_at(file: DataFile, offset: int, size: int) -> bytes:
    """Return `size` bytes from `offset`, fewer where the file ends before; raise DatasetError if it can't be read."""
    what = f"read {file.name!r} of {file.root!r}"
    try:
        data: bytes = with_retries(lambda: _kept_open(file).read_at(size, offset), what=what)
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(f"can't read {file.name!r} of dataset.root={file.root!r}: {reason(error)}") from error
    return data


def read_below(root: str, path: str) -> bytes:
    """Return the whole file at `path` below the folder `root`; raise DatasetError if it can't be read or is gone."""
    filesystem, base = opened_root(root)

    def work() -> bytes:
        with filesystem.open_input_file(f"{base}/{path}") as file:
            data: bytes = file.read()
        return data

    try:
        return with_retries(work, what=f"read {path!r} of {root!r}")
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(f"can't read {path!r} of dataset.root={root!r}: {reason(error)}") from error


@lru_cache(maxsize=OPEN_FILES)
def _kept_open(file: DataFile) -> pa.NativeFile:
    return opened_root(file.root)[0].open_input_file(file.path)
