"""Watch for new checkpoints: for each one that is complete, run, compare with the snapshot before, and tell others.

    watch = Watch(pattern="runs/exp1/*.ckpt", overrides=[...], store=store, options=Options())
    watch.look()        # what is there now
    watch.look()        # runs for the newest file that has not changed since

The record (`rerun.record`) is all that a watch remembers, so that it may be stopped and started at any time. A
checkpoint that fails is tried a few times, and then left until its content changes; the last good snapshot stays the
newest one. A watch with other overrides takes the last checkpoint again. Runs, and nothing else, take the root's
lease: of two watches on a root one waits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from network_atlas.config.written import override
from network_atlas.errors import AtlasError, DatasetError
from network_atlas.rerun.checkpoints import (
    Checkpoint,
    Copy,
    complete,
    copied,
    list_checkpoints,
    plain_checkpoint,
    remove_copies,
)
from network_atlas.rerun.children import Codes, Ended, atlas
from network_atlas.rerun.hooks import Event, Hooks
from network_atlas.rerun.record import Record
from network_atlas.store.lease import BUSY, is_gone, lease_files, read_lease
from network_atlas.store.manifest import latest
from network_atlas.store.paths import diff_folder
from network_atlas.store.root import Store

COPIES_KEPT = 2
"""Copies of checkpoints that are kept: that of the newest snapshot and that of the one before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a watch does its work."""

    marker: str = ""
    """End of the name of a file that says that its checkpoint is complete; '' if size and time say it."""
    every: bool = False
    """Take every checkpoint, oldest first; otherwise the newest one, and pass over those before it."""
    tries: int = 3
    """Runs that a checkpoint may fail."""
    fail_over: tuple[str, ...] = ()
    """Thresholds of `atlas diff`, such as 'drift=.3'."""
    copies: Path
    codes: Codes
    hooks: Hooks = field(default_factory=Hooks)


class Watch:
    """Looks for checkpoints again and again; each look compares with the last."""

    def __init__(
        self,
        *,
        pattern: str,
        overrides: Sequence[str],
        store: Store,
        options: Options,
        say: Callable[[str], None],
    ) -> None:
        self._pattern, self._overrides, self._store = pattern, list(overrides), store
        self._options, self._say = options, say
        self._codes = options.codes
        self._before: dict[str, Checkpoint] = {}
        self._record = Record(store)
        self._none_said = False
        self.waiting = 0
        """Checkpoints at the last look that may still be written, or could not be taken."""
        self.failed = 0
        """Runs of this process that failed."""

    def look(self) -> None:
        """Look once, and work off what is complete. Raises ConfigError if the place can't be listed."""
        now, marked = list_checkpoints(self._pattern, self._options.marker)
        ready = complete(now, {} if self._options.marker else self._before, marked)
        if not now and not self._none_said:
            self._say(f"no file matches {self._pattern} so far")
        self._none_said = not now
        self._before = {checkpoint.path: checkpoint for checkpoint in now}
        self._record.read()
        open_ = [checkpoint for checkpoint in now if not self._has_ended(checkpoint)]
        chosen = [checkpoint for checkpoint in ready if checkpoint in open_]
        if chosen and not self._options.every:
            self._pass_over(chosen[:-1])
            chosen = chosen[-1:]
        taken = [checkpoint for checkpoint in chosen if self._take(checkpoint)]
        self.waiting = sum(checkpoint not in taken for checkpoint in open_ if not self._has_ended(checkpoint))

    def _has_ended(self, checkpoint: Checkpoint) -> bool:
        return self._record.has_ended(checkpoint, self._overrides)

    def _pass_over(self, older: Sequence[Checkpoint]) -> None:
        for checkpoint in older:
            self._record.add("passed_over", checkpoint=plain_checkpoint(checkpoint))

    def _take(self, checkpoint: Checkpoint) -> bool:
        """Run for one checkpoint and return True, or False if it has to wait."""
        if holder := self._holder():
            self._say(f"{checkpoint.name} waits: {holder} works on {self._store.root}")
            return False
        try:
            copy = copied(checkpoint, self._pattern, self._options.copies)
        except (DatasetError, OSError) as error:  # gone, or written anew since it was listed; or the disk is full
            self._say(f"{checkpoint.name} waits: {error}")
            return False
        facts = {
            "checkpoint": plain_checkpoint(checkpoint),
            "sha256": copy.sha256,
            "copy": copy.path,
            "overrides": self._overrides,
        }
        if same := self._record.done_with(copy.sha256, self._overrides):
            same_as = (same.get("checkpoint") or {}).get("path")
            self._record.add("unchanged", **facts, same_as=same_as)
            self._say(f"{checkpoint.name}: nothing to do, the content is that of {same_as}, which {same['event']}")
            return True
        if not self._run(checkpoint, copy, facts):
            return False
        keep = [*self._record.copies[-COPIES_KEPT:], *self._record.copies_in_use]
        remove_copies(self._options.copies, keep=keep)
        return True

    def _run(self, checkpoint: Checkpoint, copy: Copy, facts: dict[str, Any]) -> bool:
        """Run for a copy and return True, or False if the root is another's now."""
        self._say(f"{checkpoint.name}: running")
        self._record.add("started", **facts)
        before, began = self._newest(), time.monotonic()
        try:
            ended = atlas("run", *self._overrides, override("model.weights", copy.path))
        except KeyboardInterrupt:
            self._record.add("stopped", **facts)
            raise
        facts |= {
            "root": self._store.root,
            "exit_code": ended.code,
            "seconds": round(time.monotonic() - began, 1),
            "snapshot_before": before,
            "snapshot": self._newest(),
        }
        if ended.code in (self._codes.done, self._codes.incomplete):
            self._succeeded(checkpoint, facts)
        elif ended.code == self._codes.stopped:
            self._record.add("stopped", **facts)
            self._say(f"{checkpoint.name}: stopped; goes on at the next look")
        elif BUSY in ended.error:  # another watch or run took the root after this look
            self._record.add("busy", **facts, error=ended.error)
            self._say(f"{checkpoint.name} waits: {ended.error}")
            return False
        else:
            self._failed(checkpoint, ended, facts)
        return True

    def _succeeded(self, checkpoint: Checkpoint, facts: dict[str, Any]) -> None:
        before, after = facts["snapshot_before"], facts["snapshot"]
        diff = self._diff(before, after) if before is not None and before != after else None
        event = self._record.add("succeeded", **facts, diff=diff)
        self._say(
            f"{checkpoint.name}: "
            + (f"snapshot {after}" if before != after else f"nothing changed since snapshot {after}")
        )
        self._tell("success", event)
        if diff and diff["drifted"]:
            self._tell("drift", event)

    def _failed(self, checkpoint: Checkpoint, ended: Ended, facts: dict[str, Any]) -> None:
        self.failed += 1
        tries = self._record.failures(facts["sha256"], self._overrides) + 1
        final = tries >= self._options.tries
        event = self._record.add("failed", **facts, error=ended.error, tries=tries, final=final)
        then = "it is left alone until its content changes" if final else "it is tried again"
        self._say(f"{checkpoint.name}: failed ({tries} of {self._options.tries}), {then}: {ended.error}")
        self._tell("failure", event)

    def _diff(self, before: int, after: int) -> dict[str, object] | None:
        """Compare two snapshots by `atlas diff`, and return its exit code, and what it says."""
        if self._codes.drifted is None:
            return None
        out = diff_folder(self._store.root, f"{before}-{after}")
        thresholds = [word for threshold in self._options.fail_over for word in ("--fail-over", threshold)]
        # With numbers: by now another run may have ended, and a root's own name may end in '@2'.
        sides = [f"{self._store.root}@{number}" for number in (before, after)]
        ended = atlas("diff", *sides, "--out", out, *thresholds)
        drifted = ended.code == self._codes.drifted
        error = None if drifted or ended.code == self._codes.done else ended.error
        return {
            "before": before,
            "after": after,
            "exit_code": ended.code,
            "drifted": drifted,
            "out": out,
            "error": error,
        }

    def _tell(self, event: Event, message: dict[str, Any]) -> None:
        for problem in self._options.hooks.tell(event, message):
            self._record.add("hook_failed", hook=event, error=problem)
            self._say(problem)

    def _newest(self) -> int | None:
        manifest = latest(self._store)
        return manifest.number if manifest else None

    def _holder(self) -> str:
        """Return who works on the root now, in words; '' if nobody does."""
        for path in lease_files(self._store):
            holder = read_lease(self._store, path)
            if holder and not is_gone(holder):
                return f"process {holder['pid']} on {holder['host']}"
        return ""


def watch_for_ever(watch: Watch, *, interval_seconds: float, say: Callable[[str], None]) -> None:
    """Look again and again until interrupted. What fails for a moment, such as a store that is away, is said."""
    while True:
        try:
            watch.look()
        except AtlasError as error:
            say(f"this look failed, and the next one is in {interval_seconds:g} s: {error}")
        time.sleep(interval_seconds)


def watch_once(watch: Watch, *, interval_seconds: float) -> None:
    """Look twice, an interval apart, so that what is there now and complete is worked off; once if nothing is open."""
    watch.look()
    if watch.waiting:
        time.sleep(interval_seconds)
        watch.look()
