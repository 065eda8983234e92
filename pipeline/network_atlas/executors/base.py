"""The interface between stages and executors: a worker, a task, an outcome.

A stage hands over a `WorkerSpec` and tasks, and gets outcomes back in any order. Only the executor
knows whether the worker runs in this process or on a hundred machines.

    with open_executor(config.executor) as executor:
        for outcome in executor.run(WorkerSpec("network_atlas.scan.worker:ScanWorker", config), tasks):
            ...

Workers commit their results to the store; only the receipt (a few KB) comes back. Code that all executors use is here
too: build a worker once (`BuiltWorkers`), do one task (`attempt`).
"""

from __future__ import annotations

import importlib
import time
import traceback
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Protocol

from network_atlas.config.schema import RunConfig
from network_atlas.errors import AtlasError, StoreError, WorkerBuildError


class Task(Protocol):
    """A piece of work that one worker does and commits whole."""

    @property
    def id(self) -> str: ...

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the keys of the results that it makes."""
        ...

    @property
    def items(self) -> int:
        """Return how many pictures, spans or layers it makes."""
        ...

    @property
    def units(self) -> tuple[str, ...]:
        """Return what its results show, for the record of a failure."""
        ...

    @property
    def cached_input(self) -> str:
        """Return the name of an input that a worker keeps for other tasks which name the same; '' for none."""
        ...

    def split(self) -> tuple[Task, ...]:
        """Return the parts to try apart when the whole fails: two, or none where it can't be divided."""
        ...


class Worker(Protocol):
    """Does tasks of one stage; built once per process, so that a model is loaded once.

    Executors construct it as `Class(config, threads=threads)`: it sets this many torch threads itself; 0
    leaves torch's own choice.
    """

    def run(self, task: Task) -> object:
        """Do and commit one task; return its receipt."""


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """How to build a worker anywhere: an importable 'module:Class' and the run's configuration.

    `computes` says that it runs the network; workers that don't are not given a GPU. `threads` is for the executor to
    fill in; stages leave it.
    """

    target: str
    config: RunConfig
    stage: str = ""
    """The name of the stage, for counts."""
    computes: bool = True
    threads: int = 0

    def build(self) -> Worker:
        """Import the class and return a new worker; raise WorkerBuildError, with the reason, if that fails."""
        module, _, name = self.target.partition(":")
        try:
            worker: Worker = getattr(importlib.import_module(module), name)(self.config, threads=self.threads)
        except Exception as error:
            reason = str(error) if isinstance(error, AtlasError) else f"{type(error).__name__}: {error}"
            raise WorkerBuildError(f"the worker {self.target} cannot be built: {reason}") from error
        return worker


class BuiltWorkers:
    """The workers of one process, each built when it is first asked for."""

    def __init__(self) -> None:
        self._built: dict[str, tuple[WorkerSpec, Worker]] = {}

    def get(self, spec: WorkerSpec) -> Worker:
        """Return the worker of `spec`; build it anew only if its class or its settings are new."""
        built = self._built.get(spec.target)
        if built is None or built[0] != spec:
            built = self._built[spec.target] = (spec, spec.build())
        return built[1]


@dataclass(frozen=True, slots=True)
class TaskDone:
    """A task is committed."""

    task: Task
    receipt: object
    seconds: float


@dataclass(frozen=True, slots=True)
class TaskFailed:
    """A task could not be done. `fatal` says that every other task would fail for the same reason."""

    task: Task
    error: str
    details: str
    fatal: bool = False


Outcome = TaskDone | TaskFailed


class Executor(Protocol):
    """Runs tasks on workers. Leaving the context stops every worker within seconds."""

    def run(self, spec: WorkerSpec, tasks: Sequence[Task]) -> Generator[Outcome]:
        """Yield one outcome per task, in the order of completion. Starts nothing when `tasks` is empty.

        A task that raises is tried once more, then halved as often as possible; the outcomes are then those of its
        parts, so that only the part to blame fails. A StoreError is fatal at once. WorkerBuildError ends the run.
        Closing the iterator early abandons the rest.
        """

    def __enter__(self) -> Executor: ...

    def __exit__(self, *exception: object) -> None: ...


def attempt(worker: Worker, task: Task) -> Outcome:
    """Do `task` and return its outcome; let KeyboardInterrupt and SystemExit pass."""
    started = time.monotonic()
    try:
        receipt = worker.run(task)
    except Exception as error:  # any exception of a worker is the outcome of its task, and does not end the run
        return failure(task, error)
    return TaskDone(task=task, receipt=receipt, seconds=time.monotonic() - started)


def failure(task: Task, error: BaseException) -> TaskFailed:
    """Return `error` as the outcome of `task`, with its traceback as details."""
    return TaskFailed(
        task=task,
        error=f"{type(error).__name__}: {error}",
        details="".join(traceback.format_exception(error)),
        fatal=isinstance(error, StoreError),
    )
