"""What stages know of executors: a worker, a task, an outcome.

A stage hands over a `WorkerSpec` and tasks, and gets outcomes back in any order. Whether the worker runs in
this process or on a hundred machines is the executor's business alone.

    with open_executor(config.executor) as executor:
        for outcome in executor.run(WorkerSpec("pipeline.scan.worker:ScanWorker", config), tasks):
            ...

Workers commit their own results to the store; only the receipt (a few KB) comes back.
"""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.config.schema import RunConfig
from pipeline.errors import StoreError


class Task(Protocol):
    """A piece of work that one worker does and commits whole."""

    @property
    def id(self) -> str: ...


class Worker(Protocol):
    """Does tasks of one stage; built once per process, so that a model is loaded once."""

    def run(self, task: Task) -> object:
        """Do and commit one task; return its receipt."""


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """How to build a worker anywhere: an importable 'module:Class' and the run's configuration."""

    target: str
    config: RunConfig

    def build(self) -> Worker:
        """Import the class and return a new worker."""
        module, _, name = self.target.partition(":")
        worker: Worker = getattr(importlib.import_module(module), name)(self.config)
        return worker


@dataclass(frozen=True, slots=True)
class Done:
    """A task is committed."""

    task: Task
    receipt: object
    seconds: float


@dataclass(frozen=True, slots=True)
class Failed:
    """A task could not be done. `fatal` says that every other task would meet the same end."""

    task: Task
    error: str
    details: str
    fatal: bool = False


Outcome = Done | Failed


class Executor(Protocol):
    """Runs tasks on workers. Leaving the context stops every worker within seconds."""

    def run(self, spec: WorkerSpec, tasks: Sequence[Task]) -> Iterator[Outcome]:
        """Yield one outcome per task, in the order of completion. Starts nothing when `tasks` is empty."""

    def __enter__(self) -> Executor: ...

    def __exit__(self, *exception: object) -> None: ...


def failure(task: Task, error: BaseException) -> Failed:
    """Return `error` as the outcome of `task`, with its traceback as details."""
    return Failed(
        task=task,
        error=f"{type(error).__name__}: {error}",
        details="".join(traceback.format_exception(error)),
        fatal=isinstance(error, StoreError),
    )
