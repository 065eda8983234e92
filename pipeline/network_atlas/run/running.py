"""A run in progress: it has the tasks of a stage done, shows the progress, and records failures.

run = Run(prepared=prepared, progress=progress, executor=executor, log=log)
run.stage(STAGES["scan"], tasks, total=8)
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Protocol, cast

from network_atlas.errors import StoreError, TasksFailedError, counted
from network_atlas.executors.base import Executor, Task, TaskDone, TaskFailed, WorkerSpec
from network_atlas.plan.stages import Stage
from network_atlas.plan.tasks import StageTask
from network_atlas.run.inputs import merge_statistics
from network_atlas.run.log import RunLog
from network_atlas.run.prepare import Prepared
from network_atlas.run.record import record_network
from network_atlas.store.failures import QUARANTINED, FailedTask, put_failure
from network_atlas.store.receipts import FOLD_AT, Receipt, fold
from network_atlas.store.results import RESULTS, Done, what_is_done
from network_atlas.store.root import Store

HOPELESS = 50
"""A stage stops when its first tasks, this many, all fail: then the fault is not in single pictures."""


class Progress(Protocol):
    """Shows how far a run is; `network_atlas.cli.progress` has the one for terminals."""

    def stage(self, name: str, total: int, already: int = 0, unit: str = "tasks", work: float = 0.0) -> None:
        """Begin a stage of `total` items, of which `already` were done by earlier runs."""

    def advance(self, count: int = 1, note: str = "", work: float = 0.0) -> None:
        """Count `count` more items as done."""

    def message(self, text: str) -> None:
        """Show a line of its own."""


@dataclass(slots=True)
class Run:
    """One run in progress."""

    prepared: Prepared
    progress: Progress
    executor: Executor
    log: RunLog
    failed: list[tuple[str, TaskFailed]] = field(default_factory=list)
    _known: Done | None = None

    @property
    def store(self) -> Store:
        return self.prepared.store

    def done(self) -> Done:
        """Return the results in the store. Reading receipts takes many requests, so it is only repeated after changes.

        With shares, other runs write results too, so each call reads again.
        """
        if self._known is None or self.prepared.config.sweep.share:
            self._known = what_is_done(self.store)
        return self._known

    def merge_statistics(self) -> None:
        """Write the statistics over all images if they are missing and every span has its part."""
        if merge_statistics(self.prepared, self.done()):
            self._known = None

    def stage(self, stage: Stage, tasks: Sequence[StageTask], *, total: int) -> None:
        """Have `tasks` done, show the progress, and record failures. `total` is the number of items, done or not."""
        name, unit = stage.name, stage.items
        missing = sum(task.items for task in tasks)
        self.progress.stage(name, total, total - missing, unit=unit, work=sum(map(self._work, tasks)))
        if not tasks:
            return
        self._known = None
        began, failed = time.monotonic(), len(self.failed)
        self.log.event("stage_started", stage=name, tasks=len(tasks), items=missing, total=total, unit=unit)
        done, items = 0, 0
        ways = Counter[str]()
        spec = WorkerSpec(stage.worker, self.prepared.config, stage=name, computes=stage.computes)
        longest_first = sorted(tasks, key=self._work, reverse=True)  # short tasks last: no worker is late by a long one
        # Closed at once when an error leaves the loop: otherwise workers would go on until the generator is collected.
        with closing(self.executor.run(spec, longest_first)) as outcomes:
            for number, outcome in enumerate(outcomes, start=1):
                if isinstance(outcome, TaskFailed):
                    self._note_failure(name, outcome)
                    self._stop_if_hopeless(name, done, len(self.failed) - failed, outcome)
                else:
                    done, items = done + 1, items + outcome.task.items
                    ways[_network_of(outcome)] += 1
                    self.progress.advance(outcome.task.items, work=self._work(outcome.task))
                # During the stage too: thousands of single receipts would slow down `atlas status`.
                if name in RESULTS and number % FOLD_AT == 0:
                    fold(self.store, name)
        if name in RESULTS:
            fold(self.store, name)
        failed, seconds = len(self.failed) - failed, round(time.monotonic() - began, 3)
        self.log.event("stage_ended", stage=name, done=done, items=items, failed=failed, seconds=seconds)
        self._note_network(name, ways)

    def _note_network(self, stage: str, ways: Mapping[str, int]) -> None:
        """Note how the network ran in a stage, `ways` with the number of tasks, if it ran there."""
        ways = {way: count for way, count in sorted(ways.items()) if way}
        if ways:
            self.log.note("network", stage=stage, ran=ways)
            record_network(self.store, stage, ways)

    def _work(self, task: Task) -> float:
        # Executors return the tasks that they received, or parts of these: all are StageTasks.
        return cast(StageTask, task).passes(self.prepared.config, self.prepared.facts)

    @staticmethod
    def _stop_if_hopeless(stage: str, done: int, failed: int, outcome: TaskFailed) -> None:
        if not done and failed >= HOPELESS:
            raise TasksFailedError(
                f"{stage}: the first {HOPELESS} tasks all failed, the last with {outcome.error}; see failures/. "
                "Fix that and run again with retry_failed=true."
            )

    def _note_failure(self, stage: str, outcome: TaskFailed) -> None:
        if outcome.fatal:  # the root can't be written; the text is 'StoreError: message'
            raise StoreError(outcome.error.partition(": ")[2])
        self.failed.append((stage, outcome))
        failed = _failed_task(stage, outcome)
        self.log.event("task_failed", stage=stage, task=failed.task, error=failed.error, units=failed.units)
        subject = ", ".join(failed.units[:2]) or f"task {failed.task[:12]}"
        self.progress.message(f"{stage}: {subject} failed: {failed.error}")
        put_failure(self.store, failed)

    def stop_if_failed(self, stage: str | None = None) -> None:
        """Raise TasksFailedError if tasks failed that can't be left out: of one stage, or of any."""
        failed = [
            (name, outcome)
            for name, outcome in self.failed
            if (name not in QUARANTINED if stage is None else name == stage)
        ]
        if failed:
            lines = "\n  ".join(f"{name} {outcome.task.id[:12]}: {outcome.error}" for name, outcome in failed[:10])
            raise TasksFailedError(
                f"{counted(len(failed), 'task')} could not be done; "
                f"everything else is kept under {self.store.root!r}:\n"
                f"  {lines}\nDetails are in its folder failures/. Run the same command to try them again."
            )


def _network_of(outcome: TaskDone) -> str:
    """Return how the network ran in a task; '' where it did not run."""
    return outcome.receipt.network if isinstance(outcome.receipt, Receipt) else ""


def _failed_task(stage: str, outcome: TaskFailed) -> FailedTask:
    """Return the record of a failure, with the keys of the missing results and the units that they would show."""
    task = outcome.task
    # Without keys nothing is left out: such a task is tried again by the next run.
    keys = task.keys if stage in QUARANTINED else ()
    return FailedTask(
        stage=stage, task=task.id, error=outcome.error, details=outcome.details, keys=keys, units=task.units
    )
