"""The record of a watch: one JSON object a line, in `logs/watch.jsonl` under the root. A watch that restarts reads it.

Events: `started`, then `succeeded`, `failed`, `busy` or `stopped`; `unchanged` (the content of another checkpoint that
was done) and `passed_over` (older than one that was taken); `hook_failed`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from network_atlas.errors import StoreError
from network_atlas.rerun.checkpoints import Checkpoint
from network_atlas.store.root import Store
from network_atlas.store.swap import open_swap

FILE = "logs/watch.jsonl"
ENDED = ("succeeded", "unchanged", "passed_over")
"""Events behind which a checkpoint is never looked at again; so is a failure that is `final`."""
SHOWN = ("succeeded", "unchanged")

TRIES = 50
"""Attempts to add a line while others add theirs."""

log = logging.getLogger(__name__)


class Record:
    """The events of all watches of a root. Only the run that the root's lease allows adds events of importance."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.events: list[dict[str, Any]] = []
        self.read()

    def read(self) -> None:
        """Read the record anew: another watch may have added to it. Lines that are no objects are left out."""
        self.events = _events(self._store.read_if_there(FILE) or b"")

    def add(self, event: str, **fields: object) -> dict[str, Any]:
        """Add an event, write the record, and return the event. Another watch may write at the same time."""
        line = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "event": event, **fields}
        swap = open_swap(self._store)
        for _ in range(TRIES):
            seen = swap.read(FILE)
            events = [*_events(seen.data if seen else b""), line]
            if swap.replace(FILE, "".join(f"{json.dumps(each)}\n" for each in events).encode(), seen):
                self.events = events
                return line
        raise StoreError(
            f"{FILE} under store.root={self._store.root!r} was changed by others {TRIES} times while {event!r} was "
            "to be added. Do several watches write there? One is enough for a root; stop the others."
        )

    def has_ended(self, checkpoint: Checkpoint, overrides: Sequence[str]) -> bool:
        """Say whether the file of this name, size and time needs no further look.

        Only the last end of a name counts: a file that is put back as it was before is a new checkpoint. The one that
        was tried last is taken again by a watch with other overrides.
        """
        same = (checkpoint.path, checkpoint.size_bytes, checkpoint.changed_ns)
        ends = (event for event in reversed(self.events) if _is_end(event))
        last = next((event for event in ends if _file(event)[0] == checkpoint.path), None)
        if last is None or _file(last) != same:
            return False
        tried = [event for event in self.events if event["event"] in SHOWN or event.get("final")]
        return last not in tried[-1:] or _made_by(last, overrides)

    def done_with(self, sha256: str, overrides: Sequence[str]) -> dict[str, Any] | None:
        """Return the last event of a content that needs no further look; None if it does.

        That is a content which failed for good, or which the newest snapshot shows, with the same overrides: after
        another one was taken, an earlier content is taken again, which reuses all that was made of it.
        """
        shown = [event for event in self.events if event["event"] in SHOWN]
        done = [event for event in self.events if event.get("final")] + shown[-1:]
        done = [event for event in done if _made_by(event, overrides)]
        return next((event for event in reversed(done) if event.get("sha256") == sha256), None)

    def failures(self, sha256: str, overrides: Sequence[str]) -> int:
        """Return how often runs with a content and these overrides failed."""
        failed = [event for event in self.events if event["event"] == "failed" and event.get("sha256") == sha256]
        return sum(_made_by(event, overrides) for event in failed)

    @property
    def copies(self) -> list[str]:
        """Return the copies of the checkpoints that succeeded, oldest first."""
        return [str(event["copy"]) for event in self.events if event["event"] == "succeeded" and "copy" in event]

    @property
    def copies_in_use(self) -> list[str]:
        """Return the copies whose run has not ended: another watch's may be reading one now."""
        last = {str(event["copy"]): str(event["event"]) for event in self.events if "copy" in event}
        return [copy for copy, event in last.items() if event in ("started", "busy", "stopped")]


def _events(data: bytes) -> list[dict[str, Any]]:
    return [event for line in data.decode(errors="replace").splitlines() if (event := _parsed(line))]


def _is_end(event: dict[str, Any]) -> bool:
    return event["event"] in ENDED or bool(event.get("final"))


def _made_by(event: dict[str, Any], overrides: Sequence[str]) -> bool:
    return event.get("overrides") == list(overrides)


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
