"""Receipts: small JSON files that say a task's files are committed. What has no receipt is not done.

A receipt is written after its files, so a kill at any moment leaves either both or an orphan that nobody reads. Resume
asks which keys (fingerprints of single results) the receipts of a stage hold.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from pipeline.errors import CorruptShardError
from pipeline.store.paths import Store
from pipeline.store.shards import FileEntry


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


def commit(store: Store, receipt: Receipt) -> Receipt:
    """Write the receipt, last of all that a task writes."""
    data = json.dumps(asdict(receipt), indent=1, sort_keys=True).encode()
    store.write(_path(receipt.stage, receipt.task), data)
    return receipt


def read_receipts(store: Store, stage: str) -> list[Receipt]:
    """Return the receipts of a stage, in order of their names."""
    paths = [path for path in store.list(f"receipts/{stage}") if path.endswith(".json")]
    return [_parse(path, store.read(path)) for path in paths]


def receipts_by_key(receipts: Iterable[Receipt]) -> dict[str, Receipt]:
    """Return which receipt holds each key; the last in order wins, so the choice is the same every time."""
    return {key: receipt for receipt in receipts for key in receipt.keys}


def _path(stage: str, task: str) -> str:
    return f"receipts/{stage}/{task}.json"


def _parse(path: str, data: bytes) -> Receipt:
    try:
        raw = json.loads(data)
        files = tuple(FileEntry(**entry) for entry in raw.pop("files"))
        return Receipt(files=files, keys=tuple(raw.pop("keys")), **raw)
    except (ValueError, TypeError, KeyError) as error:
        raise CorruptShardError(f"{path!r} is no receipt ({error}). Delete it and run again.") from error
