"""The record of a watch: one JSON object a line, in `logs/watch.jsonl` under the root. A watch that restarts reads it.

Events: `started`, then `succeeded`, `failed`, `busy` or `stopped`; `unchanged` (the content of another checkpoint that
was done) and `passed_over` (older than one that was taken); `hook_failed`.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

from network_atlas.rerun.checkpoints import Checkpoint
from network_atlas.store.root import Store

FILE = "logs/watch.jsonl"
ENDED = ("succeeded", "unchanged", "passed_over")
"""Events behind which a checkpoint is never looked at again; so is a failure that is `final`."""

log = logging.getLogger(__name__)


class Record:
    """The events of all watches of a root. Only the run that the root's lease allows adds events of importance."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.events: list[dict[str, Any]] = []
        self.read()

    def read(self) -> None:
        """Read the record anew: another watch may have added to it. Lines that are no objects are left out."""
        data = self._store.read_if_there(FILE) or b""
        self.events = [event for line in data.decode(errors="replace").splitlines() if (event := _parsed(line))]

    def add(self, event: str, **fields: object) -> dict[str, Any]:
        """Add an event, write the record, and return the event."""
        self.read()
        line = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "event": event, **fields}
        self.events.append(line)
        self._store.write(FILE, "".join(f"{json.dumps(each)}\n" for each in self.events).encode())
        return line

    def has_ended(self, checkpoint: Checkpoint) -> bool:
        """Say whether the file of this name, size and time needs no further look."""
        same = (checkpoint.path, checkpoint.size_bytes, checkpoint.changed_ns)
        return any(_is_end(event) and _file(event) == same for event in self.events)

    def done_with(self, sha256: str) -> dict[str, Any] | None:
        """Return the last event of a content that needs no further look; None if it does."""
        return next((e for e in reversed(self.events) if _is_end(e) and e.get("sha256") == sha256), None)

    def failures(self, sha256: str) -> int:
        """Return how often runs with a content failed."""
        return sum(event["event"] == "failed" and event.get("sha256") == sha256 for event in self.events)

    @property
    def copies(self) -> list[str]:
        """Return the copies of the checkpoints that succeeded, oldest first."""
        return [str(event["copy"]) for event in self.events if event["event"] == "succeeded" and "copy" in event]


def _is_end(event: dict[str, Any]) -> bool:
    return event["event"] in ENDED or bool(event.get("final"))


def _file(event: dict[str, Any]) -> tuple[object, ...]:
    checkpoint = event.get("checkpoint") or {}
    return checkpoint.get("path"), checkpoint.get("size_bytes"), checkpoint.get("changed_ns")


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        log.warning("a line of %s is damaged and left out: %.80s", FILE, line)
        return None
    return event if isinstance(event, dict) and "event" in event else None
