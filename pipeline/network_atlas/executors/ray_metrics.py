"""Counts for Prometheus, through Ray's own metrics: tasks, seconds and items by stage.

    ray_atlas_tasks_total{stage="optimize", outcome="done"}     or outcome="failed"
    ray_atlas_task_seconds{stage="optimize"}                    a histogram
    ray_atlas_items_total{stage="optimize"}                     pictures, spans, layers

Never by layer or channel: every label value is a series that Prometheus keeps for ever. Ray exports them from each
node where `ray[default]` is installed (`ray start --metrics-export-port`); elsewhere they are counted and go nowhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ray.util.metrics import Counter, Histogram

from network_atlas.executors.base import Outcome, TaskDone, WorkerSpec

BOUNDARIES = [0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000, 10_000]
"""Seconds; tasks take from a moment to hours."""


class StageMetrics:
    """The counts of one process; made once Ray is there."""

    def __init__(self) -> None:
        self._tasks = Counter("atlas_tasks", "Tasks that ended.", tag_keys=("stage", "outcome"))
        self._items = Counter("atlas_items", "Pictures, spans or layers that were made.", tag_keys=("stage",))
        self._seconds = Histogram(
            "atlas_task_seconds", "Seconds that a worker took for a task.", boundaries=BOUNDARIES, tag_keys=("stage",)
        )

    def counted(self, spec: WorkerSpec, outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
        """Yield `outcomes` of the stage that `spec` works for, and count them."""
        stage = spec.stage
        for outcome in outcomes:
            done = isinstance(outcome, TaskDone)
            self._tasks.inc(1, {"stage": stage, "outcome": "done" if done else "failed"})
            if isinstance(outcome, TaskDone):
                self._seconds.observe(outcome.seconds, {"stage": stage})
                self._items.inc(outcome.task.items, {"stage": stage})
            yield outcome
