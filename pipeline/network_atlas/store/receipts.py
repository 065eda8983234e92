"""Receipts: small JSON files that say that a task's files are committed. A task without a receipt is not done.

A receipt is written after its files. So a kill at any moment leaves either both, or files without a receipt, which
nobody reads. A run that resumes reads the keys (fingerprints of single results) of each stage's receipts.

Many receipts are folded into one file, so that a root of any size is read quickly. The fold is written first, whole,
under a name derived from its content; only then are the single receipts deleted. A kill in between leaves both, which
readers count once. The order of reading matters too: single receipts first, then folds. A receipt that is deleted
meanwhile is in a fold that was written before.

    receipts/optimize/<task>.json                single receipts, as workers commit them
    receipts/folded/optimize/<content>.parquet   a fold of a thousand or more
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import TypeVar

import pyarrow as pa

from network_atlas.errors import StoreError
from network_atlas.store.folds import decode, encode
from network_atlas.store.root import Store
from network_atlas.store.shards import FileEntry

FOLD_AT = 1000
"""Number of single receipts of a stage that are folded; to read that many takes a tenth of a second on a disk."""
FOLDS_AT_MOST = 8
"""Number of folds of a stage at which the next fold takes in all of them."""
AT_ONCE = 16
"""Receipts read or deleted in parallel on an object store, where each takes tens of milliseconds."""
TRIES = 5
"""Attempts to list and read folds while another process merges them."""

log = logging.getLogger(__name__)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A committed task: the keys of its results and the files that hold them."""

    stage: str
    task: str
    keys: tuple[str, ...]
    files: tuple[FileEntry, ...]
    seconds: float
    unreadable: int = 0
    """Images of a scan task that could not be read."""
    network: str = ""
    """How the network ran: 'frozen', or 'as it is: ' with the reason, and how steps did where blocks were to be
    compiled; '' for tasks that don't run it."""
    finished: float = 0.0
    """Time of the commit, in seconds since 1970 by the clock of its machine; `commit` fills it in."""


def files_under(receipts: Iterable[Receipt], folder: str) -> tuple[str, ...]:
    """Return the files of `receipts` that lie under a folder of the root, each once."""
    paths = (file.path for receipt in receipts for file in receipt.files)
    return tuple(dict.fromkeys(path for path in paths if path.startswith(f"{folder}/")))


def commit(store: Store, receipt: Receipt) -> Receipt:
    """Write the receipt, after all files of the task; return it with the time."""
    receipt = replace(receipt, finished=round(time.time(), 3))
    data = json.dumps(asdict(receipt), indent=1, sort_keys=True).encode()
    store.write(receipt_path(receipt.stage, receipt.task), data)
    return receipt


def read_receipts(store: Store, stage: str) -> list[Receipt]:
    """Return the receipts of a stage, single and folded, in order of their tasks.

    A damaged receipt counts as missing: its results are made again, under the same names.
    """
    singles = _read_singles(store, _single_paths(store, stage))
    by_task = {receipt.task: receipt for receipt in _read_folds(store, stage)}
    by_task |= {receipt.task: receipt for receipt in singles}  # a task done anew since it was folded has a newer one
    return [by_task[task] for task in sorted(by_task)]


def fold(store: Store, stage: str, *, at_least: int = FOLD_AT) -> int:
    """Fold the single receipts of a stage if there are at least `at_least`; return how many were folded.

    Only for stages whose tasks are named by their content, so that all receipts of one task mean the same.
    """
    paths = _single_paths(store, stage)
    singles = _read_singles(store, paths) if len(paths) >= at_least else []
    if not singles:
        return 0
    folds = _fold_paths(store, stage)
    merged = folds if len(folds) >= FOLDS_AT_MOST else []
    earlier = _read_folds(store, stage) if merged else []
    by_task = {receipt.task: receipt for receipt in [*earlier, *singles]}
    data = encode([by_task[task] for task in sorted(by_task)])
    path = f"{_folder(stage)}/{hashlib.sha256(data).hexdigest()[:32]}.parquet"
    store.write(path, data)
    obsolete = [receipt_path(stage, receipt.task) for receipt in singles] + [old for old in merged if old != path]
    # Last: until then, every receipt is in one of the files.
    each(store, store.delete, obsolete)
    return len(singles)


def is_whole(receipt: Receipt, sizes: Mapping[str, int]) -> bool:
    """Say whether every file of a receipt exists in its full size; `sizes` has the size of each file in the root."""
    return all(sizes.get(file.path) == file.size_bytes for file in receipt.files)


def receipts_by_key(receipts: Iterable[Receipt]) -> dict[str, Receipt]:
    """Return the receipt of each key. If several hold a key, the last in order counts, so the choice is fixed."""
    return {key: receipt for receipt in receipts for key in receipt.keys}


def receipt_path(stage: str, task: str) -> str:
    """Return the path of a task's single receipt."""
    return f"receipts/{stage}/{task}.json"


def _folder(stage: str) -> str:
    return f"receipts/folded/{stage}"


def _single_paths(store: Store, stage: str) -> list[str]:
    return [path for path in store.list(f"receipts/{stage}") if path.endswith(".json")]


def _fold_paths(store: Store, stage: str) -> list[str]:
    return [path for path in store.list(_folder(stage)) if path.endswith(".parquet")]


def each(store: Store, work: Callable[[str], _T], paths: Sequence[str]) -> list[_T]:
    """Do `work` for every path, in parallel on an object store, one after the other on a disk."""
    if store.is_local:
        return [work(path) for path in paths]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(work, paths))


def _read_singles(store: Store, paths: Sequence[str]) -> list[Receipt]:
    """Return the receipts at `paths`. One that was deleted since it was listed is in a fold."""
    contents = zip(paths, each(store, store.read_if_there, paths), strict=True)
    parsed = (_parse(path, data) for path, data in contents if data is not None)
    return [receipt for receipt in parsed if receipt is not None]


def _read_folds(store: Store, stage: str) -> list[Receipt]:
    """Return the receipts in the folds of a stage, in order of their commits."""
    for _ in range(TRIES):
        paths = _fold_paths(store, stage)
        try:
            receipts = [receipt for path in paths for receipt in _read_fold(store, stage, path)]
            return sorted(receipts, key=lambda receipt: receipt.finished)
        except StoreError:  # a fold that another process has merged and deleted: list again
            if all(store.exists(path) for path in paths):
                raise
    raise StoreError(
        f"{_folder(stage)!r} under store.root={store.root!r} changes faster than it can be read: "
        "several runs work on it. Stop all but one."
    )


def _read_fold(store: Store, stage: str, path: str) -> list[Receipt]:
    try:
        return [Receipt(stage=stage, **fields) for fields in decode(store.read(path))]
    except (pa.ArrowException, ValueError) as error:
        log.error("%s is not a list of receipts (%s); its results count as missing", path, error)
        return []


def _parse(path: str, data: bytes) -> Receipt | None:
    try:
        raw = json.loads(data)
        files = tuple(FileEntry(**entry) for entry in raw.pop("files"))
        return Receipt(files=files, keys=tuple(raw.pop("keys")), finished=raw.pop("finished"), **raw)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        log.error("%s is not a receipt (%s); its results count as missing", path, error)
        return None
