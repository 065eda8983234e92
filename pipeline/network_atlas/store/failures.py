"""Records of failed tasks: one small JSON file per task under `failures/<stage>/`.

Pictures and measurements of a failed task are in quarantine: later runs leave them out. `retry_failed=true` removes the
records, so that they are tried again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from network_atlas.store.root import Store

QUARANTINED = ("optimize", "calibrate")
"""Stages whose results can be left out one by one. An atlas can't lack a span, or the table of a layer."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedTask:
    """A task that failed, and the reason."""

    stage: str
    task: str
    error: str
    details: str
    """The traceback."""
    keys: Sequence[str]
    """Keys of the results that are missing because of it."""
    units: Sequence[str]
    """The units that these results would show."""


def put_failure(store: Store, failed: FailedTask) -> None:
    """Write the record of a failed task."""
    store.write(f"failures/{failed.stage}/{failed.task}.json", json.dumps(asdict(failed), indent=1).encode())


def quarantined(store: Store, stage: str) -> set[str]:
    """Return the keys that are not tried again. A damaged record counts as empty."""
    keys: set[str] = set()
    for path in store.list(f"failures/{stage}"):
        try:
            keys.update(json.loads(store.read(path))["keys"])
        except (ValueError, TypeError, KeyError) as error:
            log.warning("%s is damaged (%r): its results are tried again", path, error)
    return keys


def release(store: Store) -> None:
    """Empty the quarantine: everything in it is tried again."""
    for stage in QUARANTINED:
        for path in store.list(f"failures/{stage}"):
            store.delete(path)
