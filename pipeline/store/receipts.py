"""Receipts: small JSON files that say a task's files are committed. What has no receipt is not done.

A receipt is written after its files, so a kill at any moment leaves either both or an orphan that nobody reads. Resume
asks which keys (fingerprints of single results) the receipts of a stage hold.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from pipeline.store.paths import Store
from pipeline.store.shards import FileEntry

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A committed task: the keys it made and the files that hold them."""

    stage: str
    task: str
    keys: tuple[str, ...]
    files: tuple[FileEntry, ...]
    seconds: float
    unreadable: int = 0
    """Images of a scan task that could not be read."""


def files_under(receipts: Iterable[Receipt], folder: str) -> tuple[str, ...]:
    """Return the files of `receipts` that lie under a folder of the root, each once."""
    paths = (file.path for receipt in receipts for file in receipt.files)
    return tuple(dict.fromkeys(path for path in paths if path.startswith(f"{folder}/")))


def commit(store: Store, receipt: Receipt) -> Receipt:
    """Write the receipt, last of all that a task writes."""
    data = json.dumps(asdict(receipt), indent=1, sort_keys=True).encode()
    store.write(_path(receipt.stage, receipt.task), data)
    return receipt


def read_receipts(store: Store, stage: str) -> list[Receipt]:
    """Return the receipts of a stage, in order of their names.

    A damaged one counts as none: what it stood for is made again, under the same names.
    """
    paths = [path for path in store.list(f"receipts/{stage}") if path.endswith(".json")]
    receipts = (_parse(path, store.read(path)) for path in paths)
    return [receipt for receipt in receipts if receipt is not None]


def is_whole(receipt: Receipt, sizes: Mapping[str, int]) -> bool:
    """Say whether every file of a receipt is there in its full size; `sizes` has the files there are."""
    return all(sizes.get(file.path) == file.size_bytes for file in receipt.files)


def receipts_by_key(receipts: Iterable[Receipt]) -> dict[str, Receipt]:
    """Return which receipt holds each key; the last in order wins, so the choice is the same every time."""
    return {key: receipt for receipt in receipts for key in receipt.keys}


def _path(stage: str, task: str) -> str:
    return f"receipts/{stage}/{task}.json"


def _parse(path: str, data: bytes) -> Receipt | None:
    try:
        raw = json.loads(data)
        files = tuple(FileEntry(**entry) for entry in raw.pop("files"))
        return Receipt(files=files, keys=tuple(raw.pop("keys")), **raw)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        log.error("%s is no receipt (%s); what it stood for counts as missing", path, error)
        return None
