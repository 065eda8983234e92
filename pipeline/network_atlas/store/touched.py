"""Find files that were changed after they were committed: by their time, and then by their checksum.

A receipt names each file with its size and SHA-256, and is written after it. A file on a disk that is newer than its
receipt has been touched by somebody: it is read whole and compared. Files of another content count as missing, so that
their results are made again. Whole roots that were copied without their times are read whole. On object stores nothing
is read: an object can't be edited in place, and clocks of servers differ.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from functools import cache

from network_atlas.errors import StoreError
from network_atlas.store.receipts import Receipt
from network_atlas.store.root import Info, Store

SLACK_SECONDS = 60.0
"""A file server's clock may be ahead of the worker's by this much."""

log = logging.getLogger(__name__)


def committed_sizes(store: Store, receipts: Collection[Receipt], folders: Iterable[str]) -> dict[str, int]:
    """Return the size of each file below `folders`, without those whose content is not that of their receipt."""
    return committed(store, receipts, {info.path: info for folder in folders for info in store.infos(folder)})


def committed(store: Store, receipts: Collection[Receipt], infos: Mapping[str, Info]) -> dict[str, int]:
    """Return the size of each of these files, by path, without those whose content is not that of their receipt."""
    sizes = {path: info.size_bytes for path, info in infos.items()}
    if not store.is_local:
        return sizes
    for path, sha256 in _touched(receipts, infos).items():
        if not _has(store, path, sha256):
            _say_once(store.root, path)
            del sizes[path]
    return sizes


@cache
def _say_once(root: str, path: str) -> None:
    """Warn of an edited file once in a process: a run looks several times, and may not need the file at all."""
    log.warning(
        "%s under %r is not what was committed: its results count as missing, and are made again where a run needs "
        "them. Delete the file to end this warning, or restore it with its time.",
        path,
        root,
    )


def _touched(receipts: Iterable[Receipt], infos: Mapping[str, Info]) -> dict[str, str]:
    """Return the files that are newer than all receipts that name them, each with its checksum."""
    newest: dict[str, tuple[float, str]] = {}
    for receipt in receipts:
        for file in receipt.files:
            info = infos.get(file.path)
            if info and info.size_bytes == file.size_bytes:  # others are known to be damaged
                newest[file.path] = max(newest.get(file.path, (0.0, "")), (receipt.finished, file.sha256))
    return {path: sha256 for path, (time, sha256) in newest.items() if infos[path].modified > time + SLACK_SECONDS}


def _has(store: Store, path: str, sha256: str) -> bool:
    try:
        return store.sha256(path) == sha256
    except StoreError as error:
        log.warning("%s", error)
        return False
