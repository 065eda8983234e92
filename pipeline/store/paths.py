"""The root of an atlas, on a local folder or any pyarrow filesystem, and where things lie under it.

Files appear whole or not at all: locally through a hidden staging file, fsync and rename; on object stores
through one put. Paths given to a `Store` are relative to the root, with forward slashes.

    store = Store.open("s3://bucket/atlas")
    store.write("plan/run.json", b"{}")
    store.read("plan/run.json")
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
from pyarrow import fs

from pipeline.errors import StoreError
from pipeline.units import LayerSpec

STAGING = ".staging"
STAGING_SECONDS = 3600
"""No writer takes this long for one file."""
REMEDIES = {
    errno.ENOSPC: "make room there",
    errno.EDQUOT: "make room there, or have the quota raised,",
    errno.EROFS: "mount it for writing again",
    errno.EACCES: "let this user write there",
    errno.EPERM: "let this user write there",
}
"""What mends an error of the filesystem, by its number."""


@dataclass(frozen=True, slots=True)
class Store:
    """One atlas root. Every failure of the filesystem becomes a `StoreError` that names the path."""

    filesystem: fs.FileSystem
    base: str
    root: str
    """The root as the user wrote it, for messages."""

    @classmethod
    def open(cls, root: str) -> Store:
        """Return the store at a local path or filesystem URI; creates nothing."""
        if "://" not in root:
            folder = os.path.abspath(os.path.expanduser(root))
            if os.path.exists(folder) and not os.path.isdir(folder):
                raise StoreError(f"store.root={root!r} is a file; give a folder, which need not exist yet.")
            return cls(fs.LocalFileSystem(), folder, root)
        try:
            filesystem, base = fs.FileSystem.from_uri(_whole_puts(root))
        except (pa.ArrowException, ValueError, OSError) as error:
            raise StoreError(
                f"store.root={root!r} can't be opened: {error}. Give a folder or a URI such as s3://bucket/atlas."
            ) from error
        return cls(filesystem, base.rstrip("/"), root)

    @property
    def is_local(self) -> bool:
        """Say whether the root is a folder of this machine."""
        return isinstance(self.filesystem, fs.LocalFileSystem)

    def read(self, path: str) -> bytes:
        """Return a whole file."""
        with self._translated("read", path), self.filesystem.open_input_file(self._full(path)) as file:
            data: bytes = file.read()
        return data

    def open_input(self, path: str) -> pa.NativeFile:
        """Return a random-access file, for Parquet readers."""
        with self._translated("read", path):
            return self.filesystem.open_input_file(self._full(path))

    def write(self, path: str, data: bytes) -> None:
        """Put a whole file under its name, atomically, replacing what was there."""
        with self._translated("write", path):
            if self.is_local:
                self._write_local(path, data)
            else:
                with self.filesystem.open_output_stream(self._full(path)) as stream:
                    stream.write(data)

    def write_if_changed(self, path: str, data: bytes) -> None:
        """Put a file unless the same one is there already."""
        if self.size(path) != len(data) or self.read(path) != data:
            self.write(path, data)

    def _write_local(self, path: str, data: bytes) -> None:
        # Staged beside the tables, never inside one: readers that glob a table see finished files only.
        staging = os.path.join(self.base, STAGING)
        final = self._full(path)
        os.makedirs(staging, exist_ok=True)
        os.makedirs(os.path.dirname(final), exist_ok=True)
        temporary = os.path.join(staging, uuid.uuid4().hex)
        try:
            with open(temporary, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, final)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)

    def clear_staging(self) -> None:
        """Remove what killed writers left unfinished; young files may belong to a writer that is alive."""
        staging = os.path.join(self.base, STAGING)
        if not self.is_local or not os.path.isdir(staging):
            return
        with self._translated("clear", STAGING), os.scandir(staging) as entries:
            for entry in entries:
                if entry.is_file() and time.time() - entry.stat().st_mtime > STAGING_SECONDS:
                    os.unlink(entry.path)

    def delete(self, path: str) -> None:
        """Remove one file, if it is there."""
        if self.exists(path):
            with self._translated("delete", path):
                self.filesystem.delete_file(self._full(path))
        if self.is_local:
            with contextlib.suppress(OSError):  # not empty: other files need it
                os.rmdir(os.path.dirname(self._full(path)))

    def exists(self, path: str) -> bool:
        """Say whether a file of that name is there."""
        return self.size(path) is not None

    def size(self, path: str) -> int | None:
        """Return a file's size in bytes, or None where there is no file."""
        with self._translated("look at", path):
            info = self.filesystem.get_file_info(self._full(path))
        return int(info.size) if info.type == fs.FileType.File else None

    def list(self, directory: str) -> list[str]:
        """Return the paths of all files below a directory, sorted; empty when there is none."""
        return sorted(self.sizes(directory))

    def sizes(self, directory: str) -> dict[str, int]:
        """Return the size in bytes of every file below a directory, by path."""
        selector = fs.FileSelector(self._full(directory), recursive=True, allow_not_found=True)
        with self._translated("list", directory):
            infos = self.filesystem.get_file_info(selector)
        prefix = len(self.base) + 1
        return {info.path[prefix:]: int(info.size) for info in infos if info.type == fs.FileType.File}

    def _full(self, path: str) -> str:
        return f"{self.base}/{path}" if path else self.base

    @contextlib.contextmanager
    def _translated(self, verb: str, path: str) -> Iterator[None]:
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            raise StoreError(
                f"can't {verb} {path!r} under store.root={self.root!r}: {_reason(error)}. "
                f"What was made before is kept; {_remedy(error)} and run the same command again."
            ) from error


def _whole_puts(root: str) -> str:
    """Return the URI with S3 told to send a file that fits one request as one whole put, not as an upload in parts."""
    if not root.startswith("s3://") or "allow_delayed_open" in root:
        return root
    return root + ("&" if "?" in root else "?") + "allow_delayed_open=true"


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error).splitlines()[0]


def _remedy(error: BaseException) -> str:
    return REMEDIES.get(getattr(error, "errno", None) or 0, "mend this")


def visualizations_directory(layer: LayerSpec) -> str:
    """Return the folder of a layer's pictures.

    Readers of partitioned folders add its name as a column; 'layer' would hide the column of that name in the files.
    """
    return f"visualizations/layer_slug={layer.slug}"


DERIVED = ("atlas", "channel_stats", "site")
"""Folders whose files are made anew, under the same names, when what they come from changes."""


def statistics_path(layer: LayerSpec) -> str:
    """Return the path of the table of all channels' statistics of a layer."""
    return f"channel_stats/layer={layer.slug}.parquet"


def atlas_path(layer: LayerSpec) -> str:
    """Return the path of a layer's joined table."""
    return f"atlas/layer={layer.slug}.parquet"
