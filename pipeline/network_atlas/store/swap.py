"""Replace a small file only if it has not changed since it was read. So two runs can't both take a lease.

    swap = open_swap(store)
    seen = swap.read("lease.json")
    if swap.replace("lease.json", b"...", seen):
        ...  # nobody else wrote the file in between

There are three ways to do so, depending on the store:

    a folder       a lock on a file (flock) while the file is read, compared and written
    s3://          the server compares: a conditional put (If-None-Match, If-Match), by obstore; pyarrow has none.
                   Only where obstore connects as pyarrow does (`network_atlas.store.s3_connection`)
    anything else  write, then read back. Of two runs that write at the same moment, usually the last one has the file
                   and the other one sees that; a gap of milliseconds remains
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, GenericError, PreconditionError
from obstore.store import S3Store

from network_atlas.errors import StoreError
from network_atlas.files.retries import first_line, reason, with_retries
from network_atlas.store.root import STAGING, Store, in_its_folder
from network_atlas.store.s3_connection import connected, same_identity

LOCK_FILE = f"{STAGING}/swap.lock"
LOCK_SECONDS = 10.0
"""A lock is held for milliseconds. After this time its holder is suspended, or a network filesystem is cut off."""
NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL})
"""Error numbers of filesystems that can't lock files."""
TRANSIENT_WORDS = re.compile(r"HTTP error|status code: (?:408|429|5\d\d)\b")
"""Words in obstore's messages about failures that may pass: no answer, or a request to try again."""

log = logging.getLogger(__name__)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Content:
    """A file as it was read."""

    data: bytes
    version: str = ""
    """The server's name for this state of the file (an ETag); '' where there is none."""


class Swap(Protocol):
    """A way to replace a file only if nobody else has. Paths are relative to the store's root."""

    def read(self, path: str) -> Content | None:
        """Return the file, or None if there is none. Raises StoreError if it can't be read."""
        ...

    def replace(self, path: str, data: bytes, seen: Content | None) -> bool:
        """Write `data` if the file is still `seen` (None: not there) and return True; else return False."""
        ...


def open_swap(store: Store) -> Swap:
    """Return the safest way that the store allows."""
    if store.is_local:
        return LocalSwap(store)
    if store.root.startswith("s3://") and same_identity(store.root):
        return S3Swap.open(store)
    log.info("store.root=%r: leases are read back after writing, there is no conditional put", store.root)
    return ReadBackSwap(store)


@dataclass(frozen=True, slots=True)
class ReadBackSwap:
    """Write, then read back to see whose content is there."""

    store: Store

    def read(self, path: str) -> Content | None:
        """See `Swap`."""
        data = self.store.read_if_there(path)
        return None if data is None else Content(data)

    def replace(self, path: str, data: bytes, seen: Content | None) -> bool:
        """See `Swap`. If two runs write within the same milliseconds, both may get True."""
        if self.read(path) != seen:
            return False
        self.store.write(path, data)
        return self.read(path) == Content(data)


@dataclass(frozen=True, slots=True)
class LocalSwap:
    """Hold a lock while the file is compared and written."""

    store: Store

    def read(self, path: str) -> Content | None:
        """See `Swap`."""
        return ReadBackSwap(self.store).read(path)

    def replace(self, path: str, data: bytes, seen: Content | None) -> bool:
        """See `Swap`."""
        with _locked(self.store):
            return ReadBackSwap(self.store).replace(path, data, seen)


@contextmanager
def _locked(store: Store) -> Iterator[None]:
    """Hold the root's lock. On a filesystem without locks a warning says so, and nothing is held."""
    path = os.path.join(store.base, LOCK_FILE)
    try:
        descriptor = in_its_folder(path, lambda: _lock(path))
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise StoreError(
                f"can't lock {LOCK_FILE!r} under store.root={store.root!r}: {first_line(error)}. Let this user write "
                "there, or give another store.root."
            ) from error
        log.warning("store.root=%r can't lock files: runs that start in the same moment may both go on", store.root)
        yield
        return
    try:
        yield
    finally:
        with suppress(FileNotFoundError):
            os.unlink(path)  # before unlocking, so that a waiting process sees that this lock file is no longer valid
        os.close(descriptor)


def _lock(path: str) -> int:
    """Return a descriptor that holds the lock; raise OSError if another process holds it for LOCK_SECONDS."""
    end = time.monotonic() + LOCK_SECONDS
    while True:
        # A file of its own: a lease is replaced by a rename, and a lock on it would stay on the replaced file.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The holder before us removes the file, perhaps after we opened it; a lock on a removed file is worthless.
            if _is_at(descriptor, path):
                return descriptor
        except BlockingIOError as error:
            if time.monotonic() > end:
                os.close(descriptor)
                raise OSError(errno.ETIMEDOUT, f"another process has held it for {LOCK_SECONDS:.0f} s") from error
            time.sleep(0.002)
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_at(descriptor: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


@dataclass(frozen=True, slots=True)
class S3Swap:
    """Let the server compare."""

    store: Store
    bucket: S3Store
    prefix: str
    """The root's key in the bucket."""

    @classmethod
    def open(cls, store: Store) -> S3Swap:
        """Return a connection to the store's root with the store's own server, region, credentials and timeouts."""
        bucket, _, prefix = store.base.partition("/")
        return cls(store, connected(store.root, bucket, store.filesystem.region), prefix)

    def read(self, path: str) -> Content | None:
        """See `Swap`."""

        def get() -> Content | None:
            try:
                answer = obstore.get(self.bucket, self._key(path))
                return Content(bytes(answer.bytes()), answer.meta["e_tag"] or "")
            except FileNotFoundError:
                return None

        return self._done("read", path, get)

    def replace(self, path: str, data: bytes, seen: Content | None) -> bool:
        """See `Swap`. True also if the answer to our put was lost, and the second put met the result of the first."""

        def put() -> bool:
            try:
                mode: Any = "create" if seen is None else {"e_tag": seen.version}
                obstore.put(self.bucket, self._key(path), data, mode=mode, use_multipart=False)
            except (AlreadyExistsError, PreconditionError, FileNotFoundError):  # not found: removed since it was seen
                return False
            return True

        if self._done("write", path, put):
            return True
        now = self.read(path)
        return now is not None and now.data == data

    def _key(self, path: str) -> str:
        return f"{self.prefix}/{path}" if self.prefix else path

    def _done(self, verb: str, path: str, work: Callable[[], _T]) -> _T:
        action = f"{verb} {path!r} under store.root={self.store.root!r}"
        try:
            return with_retries(lambda: _translated(work), what=action, seconds=self.store.retry_seconds)
        except (BaseError, OSError) as error:
            raise StoreError(f"can't {action}: {reason(error)}. Run the same command again when it answers.") from error


def _translated(work: Callable[[], _T]) -> _T:
    """Return the result of `work`. Raises ConnectionError, which is retried, for obstore's failures that may pass."""
    try:
        return work()
    except GenericError as error:
        if TRANSIENT_WORDS.search(str(error)):
            raise ConnectionError(first_line(error)) from error
        raise
