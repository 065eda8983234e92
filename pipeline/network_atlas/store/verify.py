"""Compare files with what receipts and manifests say of them.

Sizes are compared always, before anything is reused (`store.receipts.is_whole`). Whole checksums take as long as
reading every byte, so they are compared where a whole shard is read anyway (`shards.read_checked_rows`), and when asked
for: `atlas status ROOT --verify`. Between the two, Parquet's own page checksums find damage in whatever is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from network_atlas.store.root import Store
from network_atlas.store.shards import FileEntry

AT_ONCE = 8
"""Files read in parallel: hashing and reading both leave Python's lock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A file that is not as it was written."""

    path: str
    reason: str


def faults(store: Store, files: Iterable[FileEntry]) -> Iterator[Fault]:
    """Yield each file that is missing, or of another size or content, in the order of `files`. Reads every byte."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for file, reason in pool.map(lambda file: (file, _fault(store, file)), files):
            if reason:
                yield Fault(path=file.path, reason=reason)


def _fault(store: Store, file: FileEntry) -> str:
    size = store.size(file.path)
    if size is None:
        return "missing"
    if size != file.size_bytes:
        return f"{size:,} bytes instead of {file.size_bytes:,}"
    return "" if store.sha256(file.path) == file.sha256 else "changed after it was written"
