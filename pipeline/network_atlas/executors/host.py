"""The code inside a worker process (`Host`), and the driver's record of it (`Seat`).

A `Host` builds workers, does tasks and returns outcomes as plain values. No exception leaves it: an exception that the
driver cannot unpickle would look like a broken cluster.
"""

from __future__ import annotations

import dataclasses
import signal
import traceback
from collections import deque
from typing import Any

from network_atlas.errors import WorkerBuildError
from network_atlas.executors.base import BuiltWorkers, Outcome, Task, Worker, WorkerSpec, attempt


class Host:
    """Keeps the workers of one process from stage to stage, so that each loads its model once."""

    def __init__(self) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the driver decides
        self._workers = BuiltWorkers()
        self._worker: Worker | None = None

    def prepare(self, spec: WorkerSpec) -> WorkerBuildError | None:
        """Have the worker of `spec` do the tasks that follow; return the reason if it cannot be built."""
        try:
            self._worker = self._workers.get(spec)
        except WorkerBuildError as error:
            error.add_note(traceback.format_exc())
            return error
        return None

    def run(self, task: Task) -> Outcome:
        """Do `task` with the prepared worker."""
        assert self._worker is not None, "prepare comes before run"
        return attempt(self._worker, task)


@dataclasses.dataclass(slots=True)
class Seat:
    """A seat in the driver's pool: a host (a Ray actor) and its tasks. After the host's death the next one takes it."""

    number: int
    actor: Any
    gpus: float = 0.0
    spec: WorkerSpec | None = None
    """The worker that the host was last asked to build."""
    preparing: Any = None
    """Reference to the outcome of `Host.prepare`; None once the host is ready."""
    running: deque[tuple[Task, Any]] = dataclasses.field(default_factory=deque)
    """The tasks that the host holds, in order, with references to their outcomes."""
    false_starts: int = 0

    def prepare(self, spec: WorkerSpec) -> None:
        """Have the host build the worker of `spec`."""
        self.spec, self.preparing = spec, self.actor.prepare.remote(spec)

    @property
    def next_end(self) -> Any:
        """Return the reference that resolves first, or None if the host is idle."""
        if self.preparing is not None:
            return self.preparing
        return self.running[0][1] if self.running else None
