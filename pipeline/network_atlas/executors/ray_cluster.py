"""The executor that runs workers on Ray, on this machine or on many.

A run is a loop: give tasks to every host that is ready, wait until something ends, record its outcome. `dispatch`
decides which task goes to which host, and which task is blamed for a death. Ray's own restarts and retries are off:
measured on three nodes, a lost task runs again after 2.7 s on a new actor, and after 16.5 s with Ray's restarts.

With executor.workers=auto the pool follows the size of the cluster during a stage: a new machine gets hosts, and seats
that wait for a machine that is gone are closed.
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
import math
import time
from collections.abc import Generator, Iterator, Sequence

import ray
from ray import exceptions

from network_atlas.config.executor import RayConfig
from network_atlas.errors import WorkerBuildError
from network_atlas.executors.base import Outcome, Task, WorkerSpec, failure
from network_atlas.executors.dispatch import Dispatch
from network_atlas.executors.host import Seat
from network_atlas.executors.ray_hosts import DEATHS, in_short, is_taken_away, start_host, threads_of
from network_atlas.executors.ray_metrics import StageMetrics
from network_atlas.executors.ray_session import Session
from network_atlas.executors.stopping import Stopping

FALSE_STARTS = 3
"""How many hosts in a row may die in one seat before they are ready; then the run ends."""
PULSE_SECONDS = 1.0
"""The longest wait; after it the loop checks whether to stop, and whether the cluster still exists."""
LOOK_SECONDS = 5.0
"""How often the size of the cluster is read. Each reading is a request to Ray's head."""
UNREADY_WARNING_SECONDS = 120.0
"""How long the run waits for a first host before it warns."""

log = logging.getLogger(__name__)


class RayExecutor:
    """Runs tasks on a pool of hosts that live from stage to stage; starts Ray with the first task."""

    def __init__(self, config: RayConfig) -> None:
        self._config = config
        self._session: Session | None = None
        self._pool: list[Seat] = []
        self._numbers = itertools.count()

    def run(self, spec: WorkerSpec, tasks: Sequence[Task]) -> Generator[Outcome]:
        """Yield one outcome per task, in the order of completion."""
        if not tasks:
            return
        if self._session is None:
            self._session = Session(self._config)
            self._metrics = StageMetrics()
        spec = dataclasses.replace(spec, threads=threads_of(self._config))
        stage = _Stage(spec, Dispatch(tasks), self._config.gpus_per_worker if spec.computes else 0.0)
        self._stop([seat for seat in self._pool if seat.gpus != stage.gpus])
        try:
            with Stopping(self._config.grace_seconds) as stopping:
                yield from self._metrics.counted(spec, self._work(stage, stopping))
        finally:
            self._stop([seat for seat in self._pool if seat.running])

    def _work(self, stage: _Stage, stopping: Stopping) -> Iterator[Outcome]:
        looked, last_ready = -math.inf, time.monotonic()
        while stage.dispatch.unfinished:
            now = time.monotonic()
            if now - looked >= LOOK_SECONDS:
                looked = now
                self._fit(stage)
            seats = [seat for seat in self._pool if seat.spec is stage.spec]
            if stopping.overdue or (stopping.asked and not any(seat.running for seat in self._pool)):
                raise KeyboardInterrupt
            if not stopping.asked:
                for seat in seats:
                    _feed(seat, stage.dispatch, hosts=len(seats))
            for seat in _ended(seats):
                outcome = self._collect(stage, seat)
                if outcome is not None:
                    yield outcome
            last_ready = _warn_if_none_is_ready(seats, last_ready)

    def _fit(self, stage: _Stage) -> None:
        """Open and close seats: as many as the cluster has capacity for, and the stage has work for."""
        assert self._session is not None
        capacity = self._session.workers(gpus=stage.gpus)
        seats = min(stage.dispatch.unfinished, capacity)
        while len(self._pool) < seats:
            self._pool.append(Seat(next(self._numbers), start_host(self._config, stage.gpus), gpus=stage.gpus))
        for seat in self._pool[:seats]:
            if seat.spec is not stage.spec:
                seat.prepare(stage.spec)
                seat.false_starts = 0
        # Close what waits for a machine that is gone. A host that is ready stays, even beyond the capacity: Ray may not
        # have counted its machine yet.
        waiting = [seat for seat in reversed(self._pool) if seat.preparing is not None]
        self._stop(waiting[: max(0, len(self._pool) - capacity)])

    def _collect(self, stage: _Stage, seat: Seat) -> Outcome | None:
        """Read the result of what ended in `seat`; return the outcome of a task if that is now known."""
        try:
            result = ray.get(seat.next_end)
        except DEATHS as error:
            return self._replace(stage, seat, error)
        except exceptions.RayError as error:  # for example a receipt that cannot be pickled
            if seat.preparing is not None:
                return self._replace(stage, seat, error)
            result = failure(seat.running[0][0], error)
        if seat.preparing is None:
            seat.running.popleft()
            return stage.dispatch.settle(seat.number, result)
        if result is not None:
            raise result
        seat.preparing, seat.false_starts = None, 0
        return None

    def _replace(self, stage: _Stage, seat: Seat, error: Exception) -> Outcome | None:
        """Put a new host into the seat of one that died, and its tasks back into the queue."""
        taken_away = is_taken_away(error)
        if seat.preparing is not None and not taken_away:
            seat.false_starts += 1
        if seat.false_starts >= FALSE_STARTS:
            self._stop([seat])
            raise WorkerBuildError(
                f"{FALSE_STARTS} worker processes in a row died before {stage.spec.target} was ready in them: "
                + in_short(error)
            ) from error
        log.warning("a worker was lost (%s); another takes its tasks", in_short(error))
        ray.kill(seat.actor)  # a process whose node was given up may still be alive, and writing
        seat.actor = start_host(self._config, stage.gpus)
        seat.running.clear()
        seat.prepare(stage.spec)
        return stage.dispatch.lose(seat.number, blame=not taken_away, reason=str(error))

    def _stop(self, seats: Sequence[Seat]) -> None:
        """Kill the hosts of `seats` with whatever they are doing, and close the seats."""
        for seat in seats:
            self._pool.remove(seat)
            ray.kill(seat.actor)

    def __enter__(self) -> RayExecutor:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._session is not None:
            self._stop(list(self._pool))
            self._session.close()
            self._session = None


@dataclasses.dataclass(frozen=True, slots=True)
class _Stage:
    """The tasks of one call of `run`, and what their hosts need."""

    spec: WorkerSpec
    dispatch: Dispatch
    gpus: float
    """GPUs that each host reserves; 0 for stages that don't run the network."""


def _feed(seat: Seat, dispatch: Dispatch, hosts: int) -> None:
    """Give tasks to a host that is ready. A host that is not ready may never be, and would hold them for ever."""
    while seat.preparing is None and (task := dispatch.take(seat.number, hosts)) is not None:
        seat.running.append((task, seat.actor.run.remote(task)))


def _ended(seats: Sequence[Seat]) -> list[Seat]:
    """Return the seats in which something has ended; wait at most PULSE_SECONDS for the first."""
    waiting = {seat.next_end: seat for seat in seats if seat.next_end is not None}
    references = list(waiting)
    if not references:
        return []
    ended, _ = ray.wait(references, num_returns=1, timeout=PULSE_SECONDS)
    if ended:  # the wait above returns one even if several have ended; this one returns all of them, and does not wait
        ended, _ = ray.wait(references, num_returns=len(references), timeout=0)
    return [waiting[reference] for reference in ended]


def _warn_if_none_is_ready(seats: Sequence[Seat], since: float) -> float:
    """Return since when no host has been ready: now if a host is. Warn once, after UNREADY_WARNING_SECONDS."""
    now = time.monotonic()
    if any(seat.preparing is None for seat in seats):
        return now
    if now - since >= UNREADY_WARNING_SECONDS:
        log.warning("no worker is ready after %.0f s; waiting until the cluster has capacity", UNREADY_WARNING_SECONDS)
        return math.inf
    return since
