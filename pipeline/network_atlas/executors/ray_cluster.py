"""The executor that runs workers on Ray, on this machine or on many.

A run is a loop: feed every host that is ready, wait for the first thing to end, settle it. Which task goes
where, and who is to blame for a death, is decided in `dispatch`. Ray's own restarts and retries are off:
measured on three nodes, a lost task runs again after 2.7 s with a fresh actor, and after 16.5 s with Ray's.

With executor.workers=auto the pool follows the cluster while a stage goes on: a new machine gets hosts, and places
that wait for a machine that is gone are closed.
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
import math
import os
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from typing import Any

import ray
from ray import exceptions

from network_atlas.config.schema import RayConfig
from network_atlas.errors import WorkerBuildError
from network_atlas.executors.base import Outcome, Task, WorkerSpec, failure
from network_atlas.executors.dispatch import Dispatch
from network_atlas.executors.environment import SETTINGS
from network_atlas.executors.host import Place
from network_atlas.executors.ray_metrics import StageMetrics
from network_atlas.executors.ray_session import Session
from network_atlas.executors.stopping import Stopping

DEATHS = (
    exceptions.RayActorError,
    exceptions.WorkerCrashedError,
    exceptions.OutOfMemoryError,
    exceptions.NodeDiedError,
    exceptions.ObjectLostError,
    exceptions.LocalRayletDiedError,
)
"""Errors that say that the host is gone. Most are not RayActorErrors, so that alone would miss them."""
FALSE_STARTS = 3
"""How many hosts in a row may die in one place of the pool before they were ready."""
PULSE_SECONDS = 1.0
"""How long a wait lasts at most before the loop checks for a request to stop, and for the cluster."""
LOOK_SECONDS = 5.0
"""How often the size of the cluster is looked at, and whether it is still there."""
UNREADY_WARNING_SECONDS = 120.0
"""How long no host may be ready before a warning."""

log = logging.getLogger(__name__)


class RayExecutor:
    """Runs tasks on a pool of hosts that live from stage to stage; starts Ray with the first task."""

    def __init__(self, config: RayConfig) -> None:
        self._config = config
        self._session: Session | None = None
        self._pool: list[Place] = []
        self._numbers = itertools.count()

    def run(self, spec: WorkerSpec, tasks: Sequence[Task]) -> Generator[Outcome]:
        """Yield one outcome per task, in the order of completion."""
        if not tasks:
            return
        if self._session is None:
            self._session = Session(self._config)
            self._metrics = StageMetrics()
        spec = dataclasses.replace(spec, threads=_threads(self._config))
        stage = _Stage(spec, Dispatch(tasks), self._config.gpus_per_worker if spec.computes else 0.0)
        self._stop([place for place in self._pool if place.gpus != stage.gpus])
        try:
            with Stopping(self._config.grace_seconds) as stopping:
                yield from self._metrics.counted(spec, self._work(stage, stopping))
        finally:
            self._stop([place for place in self._pool if place.running])

    def _work(self, stage: _Stage, stopping: Stopping) -> Iterator[Outcome]:
        looked, last_ready = -math.inf, time.monotonic()
        while stage.dispatch.unfinished:
            now = time.monotonic()
            if now - looked >= LOOK_SECONDS:
                looked = now
                self._fit(stage)
            places = [place for place in self._pool if place.spec is stage.spec]
            if stopping.overdue or (stopping.asked and not any(place.running for place in self._pool)):
                raise KeyboardInterrupt
            if not stopping.asked:
                for place in places:
                    _feed(place, stage.dispatch, hosts=len(places))
            for place in _ended(places):
                outcome = self._collect(stage, place)
                if outcome is not None:
                    yield outcome
            last_ready = _warn_if_none_is_ready(places, last_ready)

    def _fit(self, stage: _Stage) -> None:
        """Open and close places: as many as the cluster has capacity for, and the stage has work for."""
        assert self._session is not None
        capacity = self._session.workers(gpus=stage.gpus)
        wanted = min(stage.dispatch.unfinished, capacity)
        while len(self._pool) < wanted:
            self._pool.append(Place(next(self._numbers), self._start_host(stage.gpus), gpus=stage.gpus))
        for place in self._pool[:wanted]:
            if place.spec is not stage.spec:
                place.prepare(stage.spec)
                place.false_starts = 0
        # What waits for a machine that is gone. A host that is ready stays: Ray may not have counted it yet.
        waiting = [place for place in reversed(self._pool) if place.preparing is not None]
        self._stop(waiting[: max(0, len(self._pool) - capacity)])

    def _collect(self, stage: _Stage, place: Place) -> Outcome | None:
        """Take what came of the first thing `place` was doing; return an outcome if a task now has one."""
        try:
            result = ray.get(place.next_end)
        except DEATHS as error:
            return self._replace(stage, place, error)
        except exceptions.RayError as error:  # for example a receipt that cannot be pickled
            if place.preparing is not None:
                return self._replace(stage, place, error)
            result = failure(place.running[0][0], error)
        if place.preparing is None:
            place.running.popleft()
            return stage.dispatch.settle(place.number, result)
        if result is not None:
            raise result
        place.preparing, place.false_starts = None, 0
        return None

    def _replace(self, stage: _Stage, place: Place, error: Exception) -> Outcome | None:
        """Put a new host in the place of one that died, and what it held back into the queue."""
        taken_away = _taken_away(error)
        if place.preparing is not None and not taken_away:
            place.false_starts += 1
        if place.false_starts >= FALSE_STARTS:
            self._stop([place])
            raise WorkerBuildError(
                f"{FALSE_STARTS} worker processes in a row died before {stage.spec.target} was ready in them: "
                + _in_short(error)
            ) from error
        log.warning("a worker was lost (%s); another takes its place and what it held", _in_short(error))
        ray.kill(place.actor)  # a process whose node was given up may still be alive, and writing
        place.actor = self._start_host(stage.gpus)
        place.running.clear()
        place.prepare(stage.spec)
        return stage.dispatch.lose(place.number, blame=not taken_away, reason=str(error))

    def _start_host(self, gpus: float) -> Any:
        threads = str(_threads(self._config))
        options = {
            "num_cpus": self._config.cpus_per_worker,
            "num_gpus": gpus,
            "max_restarts": 0,
            "max_task_retries": 0,
            "runtime_env": {"env_vars": {**SETTINGS, "OMP_NUM_THREADS": threads}},
        }
        actor = _actor_class([os.path.abspath(entry) for entry in sys.path], os.getcwd())
        return ray.remote(actor).options(**options).remote()

    def _stop(self, places: Sequence[Place]) -> None:
        """Kill the hosts of `places` with whatever they are doing, and close the places."""
        for place in places:
            self._pool.remove(place)
            ray.kill(place.actor)

    def __enter__(self) -> RayExecutor:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._session is not None:
            self._stop(list(self._pool))
            self._session.close()
            self._session = None


@dataclasses.dataclass(frozen=True, slots=True)
class _Stage:
    """The work of one call of `run`."""

    spec: WorkerSpec
    dispatch: Dispatch
    gpus: float
    """Of each host."""


def _actor_class(driver_path: Sequence[str], driver_folder: str) -> type:
    """Return the class of a host's actor, which puts the search path in order before it imports a `Host`.

    Ray puts the driver's working folder first on a worker's path. A user's file there, named like a library, would
    replace it in anything imported before the actor's first line: for a class of a module, for an argument (Ray
    imports pydantic to read one). So the class is made here, which lets it travel as code, and carries its arguments.
    """

    class HostActor:
        def __init__(self) -> None:
            from network_atlas.search_path import put_working_folder_last

            put_working_folder_last(driver_path, driver_folder)
            from network_atlas.executors.host import Host

            self._host = Host()

        def prepare(self, spec: WorkerSpec) -> WorkerBuildError | None:
            return self._host.prepare(spec)

        def run(self, task: Task) -> Outcome:
            return self._host.run(task)

    return HostActor


def _threads(config: RayConfig) -> int:
    return max(1, int(config.cpus_per_worker))


def _feed(place: Place, dispatch: Dispatch, hosts: int) -> None:
    """Hand tasks to a host that is ready. One that is not might never be, and would keep them for ever."""
    while place.preparing is None and (task := dispatch.take(place.number, hosts)) is not None:
        place.running.append((task, place.actor.run.remote(task)))


def _ended(places: Sequence[Place]) -> list[Place]:
    """Return the places where something has ended; wait a moment for the first."""
    waiting = {place.next_end: place for place in places if place.next_end is not None}
    references = list(waiting)
    if not references:
        return []
    ended, _ = ray.wait(references, num_returns=1, timeout=PULSE_SECONDS)
    if ended:
        ended, _ = ray.wait(references, num_returns=len(references), timeout=0)
    return [waiting[reference] for reference in ended]


def _warn_if_none_is_ready(places: Sequence[Place], since: float) -> float:
    """Return since when no host is ready, or now if one is; say so once, after a while."""
    now = time.monotonic()
    if any(place.preparing is None for place in places):
        return now
    if now - since >= UNREADY_WARNING_SECONDS:
        log.warning("no worker is ready after %.0f s; waiting until the cluster has capacity", UNREADY_WARNING_SECONDS)
        return math.inf
    return since


def _in_short(error: Exception) -> str:
    """Return what Ray says of a death, without its guesses and its tables of names and numbers."""
    lines = str(error).partition(" Some common causes")[0].splitlines()
    said = [line.strip() for line in lines if line.strip() and not line.startswith("\t")]
    return " ".join(said) or type(error).__name__


def _taken_away(error: Exception) -> bool:
    """Say whether `error` is the loss of a machine rather than of a process on it."""
    return isinstance(error, exceptions.NodeDiedError) or bool(getattr(error, "preempted", False))
