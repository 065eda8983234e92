"""The root of an atlas: files in a local folder or on any pyarrow filesystem.

Files appear whole or not at all: locally by a staging file, fsync and rename; on object stores by one put. All paths
are relative to the root and have forward slashes. Failures that may pass are retried for a minute
(`network_atlas.files.retries`).

    store = Store.open("s3://bucket/atlas")
    store.write("plan/run.json", b"{}")
    store.read("plan/run.json")
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias, TypeVar

import pyarrow as pa
from pyarrow import fs

from network_atlas.errors import StoreError
from network_atlas.files.filesystems import files_below, open_filesystem
from network_atlas.files.retries import is_transient, reason, while_folders_change, with_retries

STAGING = ".staging"
HASHED_BYTES = 4 << 20
"""Bytes that are read and hashed at a time."""
READ_WHOLE_BYTES = 1_000_000
"""Smaller files on an object store are read in one request: requests for footer and columns would take longer."""
STAGING_SECONDS = 3600
"""Staging files older than this are left from killed writers: no writer takes this long for one file."""
REMEDIES = {
    errno.ENOSPC: "free space there",
    errno.EDQUOT: "free space there, or have the quota raised,",
    errno.EROFS: "mount it for writing again",
    errno.EACCES: "let this user write there",
    errno.EPERM: "let this user write there",
}
"""The advice for an error of the filesystem, by its errno."""
NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV})
"""Error numbers of filesystems, and of files, that can't have another hard link."""

Data: TypeAlias = bytes | pa.Buffer
_T = TypeVar("_T")


class Info(NamedTuple):
    """A file: a named tuple, since a root has a hundred thousand."""

    path: str
    size_bytes: int
    modified: float
    """In seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Store:
    """One atlas root. Every failure of the filesystem becomes a `StoreError` that names the path.

    Every operation may be done twice, as happens when the answer to a request is lost. A put writes the whole file, so
    a second one changes nothing: shards are named by their content; tables, pages, receipts and manifests are written
    only by the run that holds the lease, and a manifest has its number before it is written. Only the lease itself is
    written by several runs; see `network_atlas.store.lease`.
    """

    filesystem: fs.FileSystem
    base: str
    root: str
    """The root as the user wrote it, for messages."""
    retry_seconds: float | None = None
    """Seconds for which failures that may pass are retried; None for `network_atlas.files.retries.RETRY_SECONDS`."""

    @classmethod
    def open(cls, root: str) -> Store:
        """Return the store at a local path or filesystem URI; create nothing."""
        if "://" not in root:
            folder = os.path.abspath(os.path.expanduser(root))
            if os.path.exists(folder) and not os.path.isdir(folder):
                raise StoreError(f"store.root={root!r} is a file; give a folder, which need not exist yet.")
            return cls(fs.LocalFileSystem(), folder, root)
        try:
            # Asks S3 for the bucket's region, unless the URI has it.
            filesystem, base = with_retries(lambda: open_filesystem(root), what=f"open store.root={root!r}")
        except (pa.ArrowException, ValueError, OSError) as error:
            raise StoreError(
                f"store.root={root!r} can't be opened: {reason(error)}. Give a folder or a URI such as s3://bucket/atlas."
            ) from error
        return cls(filesystem, base.rstrip("/"), root)

    def within(self, seconds: float) -> Store:
        """Return the same store with shorter retries, for callers that can't wait or repeat the call themselves."""
        return replace(self, retry_seconds=seconds)

    @property
    def is_local(self) -> bool:
        """Say whether the root is a folder of this machine."""
        return isinstance(self.filesystem, fs.LocalFileSystem)

    def read(self, path: str) -> bytes:
        """Return a whole file."""
        return self.use(path, _whole)

    def read_if_there(self, path: str) -> bytes | None:
        """Return a whole file, or None if there is none."""
        try:
            return self.read(path)
        except StoreError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            raise

    def use(self, path: str, reading: Callable[[pa.NativeFile], _T]) -> _T:
        """Return the result of `reading` a random-access file. It is called again if the filesystem fails."""

        def work() -> _T:
            with self.filesystem.open_input_file(self._full(path)) as file:
                if self.is_local or file.size() > READ_WHOLE_BYTES:
                    return reading(file)
                return reading(pa.BufferReader(file.read()))

        return self._done("read", path, work)

    def sha256(self, path: str) -> str:
        """Return the SHA-256 of a file's content in hexadecimal digits; a large file is read in parts."""
        return self.use(path, _sha256)

    def write(self, path: str, data: Data) -> None:
        """Put a whole file under its name, atomically, replacing what was there."""
        put = self._write_local if self.is_local else self._put
        self._done("write", path, lambda: put(path, data))

    def _put(self, path: str, data: Data) -> None:
        with self.filesystem.open_output_stream(self._full(path)) as stream:
            stream.write(data)

    def write_if_changed(self, path: str, data: bytes) -> None:
        """Put a file unless the same one is there already."""
        if self.read_if_there(path) != data:
            self.write(path, data)

    def _write_local(self, path: str, data: Data) -> None:
        # Staged outside the tables' folders: readers that glob a folder see only finished files.
        final, temporary = self._full(path), os.path.join(self.base, STAGING, uuid.uuid4().hex)
        try:
            with in_its_folder(temporary, lambda: open(temporary, "wb")) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            in_its_folder(final, lambda: os.replace(temporary, final))
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)

    def copy(self, source: str, target: str) -> None:
        """Give a file a second name, atomically, replacing what was there: a hard link, or a copy without such links.

        The two may be one file: neither may be changed in place.
        """
        work = self._link if self.is_local else self._copy
        self._done("copy", source, lambda: work(source, target))

    def _copy(self, source: str, target: str) -> None:
        self.filesystem.copy_file(self._full(source), self._full(target))

    def _link(self, source: str, target: str) -> None:
        final, temporary = self._full(target), os.path.join(self.base, STAGING, uuid.uuid4().hex)
        try:
            in_its_folder(temporary, lambda: os.link(self._full(source), temporary))
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            self._write_local(target, self.read(source))
            return
        try:
            in_its_folder(final, lambda: os.replace(temporary, final))
        finally:
            with contextlib.suppress(FileNotFoundError):  # also there where both names were one file before
                os.unlink(temporary)

    def clear_staging(self) -> None:
        """Remove the unfinished files of killed writers. Young files are kept: their writer may be alive."""
        staging = os.path.join(self.base, STAGING)
        if not self.is_local or not os.path.isdir(staging):
            return

        def work() -> None:
            with os.scandir(staging) as entries:
                for entry in entries:
                    if entry.is_file() and time.time() - entry.stat().st_mtime > STAGING_SECONDS:
                        os.unlink(entry.path)

        self._done("clear", STAGING, work)

    def delete(self, path: str) -> None:
        """Remove one file if it exists, and its folder if that is empty then."""

        def work() -> None:
            with contextlib.suppress(FileNotFoundError):
                self.filesystem.delete_file(self._full(path))

        self._done("delete", path, work)
        folder = os.path.dirname(self._full(path))
        if self.is_local and folder != self.base:
            with contextlib.suppress(OSError):  # not empty: kept
                os.rmdir(folder)

    def exists(self, path: str) -> bool:
        """Say whether a file of that name exists."""
        return self.size(path) is not None

    def size(self, path: str) -> int | None:
        """Return a file's size in bytes, or None if there is no file."""
        info = self._done("look at", path, lambda: self._info(path))
        return int(info.size) if info.type == fs.FileType.File else None

    def list(self, directory: str) -> list[str]:
        """Return the sorted paths of all files below a directory, which need not exist."""
        return sorted(self.sizes(directory))

    def sizes(self, directory: str) -> dict[str, int]:
        """Return the size in bytes of every file below a directory, by path."""
        return {info.path: info.size_bytes for info in self.infos(directory)}

    def infos(self, directory: str) -> Sequence[Info]:
        """Return path, size and time of every file below a directory, which need not exist."""
        infos = self._done("list", directory, lambda: files_below(self.filesystem, self._full(directory)))
        prefix = len(self.base) + 1
        return [Info(info.path[prefix:], int(info.size), (info.mtime_ns or 0) / 1e9) for info in infos]

    def _info(self, path: str) -> fs.FileInfo:
        try:
            return self.filesystem.get_file_info(self._full(path))
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:  # no file can have that name
                raise
            return fs.FileInfo(path, fs.FileType.NotFound)

    def _full(self, path: str) -> str:
        return f"{self.base}/{path}" if path else self.base

    def _done(self, verb: str, path: str, work: Callable[[], _T]) -> _T:
        action = f"{verb} {path!r} under store.root={self.root!r}"
        try:
            return with_retries(work, what=action, seconds=self.retry_seconds)
        except (OSError, pa.ArrowException) as error:
            raise StoreError(
                f"can't {action}: {reason(error)}. What was made before is kept; {_remedy(error)}"
            ) from error


def in_its_folder(path: str, work: Callable[[], _T]) -> _T:
    """Return the result of `work` on a local path, whose folder is created first.

    It is created again if another process removes it meanwhile, as `Store.delete` does with empty folders.
    """

    def made() -> _T:
        # Raises FileExistsError itself if the folder disappears between its two checks.
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return work()

    return while_folders_change(made)


def _whole(file: pa.NativeFile) -> bytes:
    data: bytes = file.read()
    return data


def _sha256(file: pa.NativeFile) -> str:
    content = hashlib.sha256()
    while part := file.read(HASHED_BYTES):
        content.update(part)
    return content.hexdigest()


def _remedy(error: BaseException) -> str:
    if is_transient(error):
        return "run the same command again when the storage answers, with fewer workers if it is overloaded."
    return f"{REMEDIES.get(getattr(error, 'errno', None) or 0, 'fix this')} and run the same command again."
