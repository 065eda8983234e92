"""The executor that runs everything in this process, in order: for debuggers, and where Ray cannot run."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Sequence

from network_atlas.config.executor import InlineConfig
from network_atlas.executors.base import BuiltWorkers, Outcome, Task, WorkerSpec, attempt
from network_atlas.executors.dispatch import Dispatch


class InlineExecutor:
    """Runs tasks one after the other, on workers that stay built from stage to stage."""

    def __init__(self, config: InlineConfig) -> None:
        self._threads = config.threads
        self._workers = BuiltWorkers()

    def run(self, spec: WorkerSpec, tasks: Sequence[Task]) -> Generator[Outcome]:
        """Yield one outcome per task, in order; a task that raises is tried again, then halved."""
        spec = dataclasses.replace(spec, threads=self._threads)
        dispatch = Dispatch(tasks)
        while (task := dispatch.take(0, hosts=1)) is not None:
            outcome = dispatch.settle(0, attempt(self._workers.get(spec), task))
            if outcome is not None:
                yield outcome

    def __enter__(self) -> InlineExecutor:
        return self

    def __exit__(self, *exception: object) -> None:
        self._workers = BuiltWorkers()
