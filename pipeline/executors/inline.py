"""The executor that runs everything in this process, in order: for debuggers, and where Ray cannot run."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from pipeline.config.schema import InlineConfig
from pipeline.executors.base import BuiltWorkers, Failed, Outcome, Task, WorkerSpec, attempt


class InlineExecutor:
    """Runs tasks one after the other, on workers that stay built from stage to stage."""

    def __init__(self, config: InlineConfig) -> None:
        self._threads = config.threads
        self._workers = BuiltWorkers()

    def run(self, spec: WorkerSpec, tasks: Sequence[Task]) -> Iterator[Outcome]:
        """Yield one outcome per task, in order; try a task that raises once more."""
        spec = dataclasses.replace(spec, threads=self._threads)
        for task in tasks:
            worker = self._workers.get(spec)
            outcome = attempt(worker, task)
            if isinstance(outcome, Failed) and not outcome.fatal:
                outcome = attempt(worker, task)
            yield outcome

    def __enter__(self) -> InlineExecutor:
        return self

    def __exit__(self, *exception: object) -> None:
        self._workers = BuiltWorkers()
