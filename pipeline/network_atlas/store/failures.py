"""What could not be done: a small JSON file per task under `failures/<stage>/`.

A record whose task made results with keys (pictures, their measurements) puts these in quarantine: later runs leave
them out until they are asked to try again (`retry_failed=true`), which removes the records first.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from network_atlas.store.paths import Store

QUARANTINED = ("optimize", "calibrate")
"""Stages of which a part can be left out. Without one span, or one layer's table, there is no atlas."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedTask:
    """A task that could not be done, and why."""

    stage: str
    task: str
    error: str
    details: str
    """The traceback."""
    keys: Sequence[str] = ()
    """Results that are missing for it."""
    units: Sequence[str] = ()
    """What these would show."""


def put_failure(store: Store, failed: FailedTask) -> None:
    """Write down that a task failed."""
    store.write(f"failures/{failed.stage}/{failed.task}.json", json.dumps(asdict(failed), indent=1).encode())


def quarantined(store: Store, stage: str) -> set[str]:
    """Return the keys that are not tried again; a damaged record holds none."""
    keys: set[str] = set()
    for path in store.list(f"failures/{stage}"):
        try:
            keys.update(json.loads(store.read(path))["keys"])
        except (ValueError, TypeError, KeyError) as error:
            log.warning("%s is damaged (%r): what it stood for is tried again", path, error)
    return keys


def release(store: Store) -> None:
    """Forget the quarantine: everything is tried again."""
    for stage in QUARANTINED:
        for path in store.list(f"failures/{stage}"):
            store.delete(path)
