"""The executor that runs workers on Ray, on this machine or on many. Only it, `ray_quirks` and `ray_metrics` know Ray.

A run is a loop: feed every host that is ready, wait for the first thing to end, settle it. Which task goes
where, and who is to blame for a death, is decided in `dispatch`. Ray's own restarts and retries are off:
measured on three nodes, a lost task runs again after 2.7 s with a fresh actor, and after 16.5 s with Ray's.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import ray
from ray import exceptions

from pipeline.config.schema import RayConfig
from pipeline.errors import ClusterLostError, ConfigError, WorkerBuildError
from pipeline.executors.base import Outcome, Task, WorkerSpec, failure
from pipeline.executors.dispatch import Dispatch
from pipeline.executors.environment import SETTINGS, cpus_for, room, search_path, temporary_folder
from pipeline.executors.host import Host, Place
from pipeline.executors.ray_metrics import StageMetrics
from pipeline.executors.ray_quirks import no_notices, own_sigterm_handler

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
PULSE_SECONDS = 10.0
"""How often a long wait looks whether Ray is still there."""
PATIENCE_SECONDS = 120.0
"""How long no host may be ready before a warning."""
OBJECT_STORE_BYTES = 100_000_000  # only specs and receipts travel through Ray; it refuses less than 75 MiB

log = logging.getLogger(__name__)


class RayExecutor:
    """Runs tasks on a pool of hosts that live from stage to stage; starts Ray with the first task."""

    def __init__(self, config: RayConfig) -> None:
        self._config = config
        self._session: Session | None = None
        self._pool: list[Place] = []
        self._numbers = itertools.count()

    def run(self, spec: WorkerSpec, tasks: Sequence[Task]) -> Iterator[Outcome]:
        """Yield one outcome per task, in the order of completion."""
        if not tasks:
            return
        spec = dataclasses.replace(spec, threads=_threads(self._config))
        places = self._open_places(len(tasks))
        for place in places:
            place.preparing, place.false_starts = place.actor.prepare.remote(spec), 0
        try:
            yield from self._metrics.counted(spec, self._work(spec, Dispatch(tasks), places))
        finally:
            self._stop([place for place in places if place.running])

    def _work(self, spec: WorkerSpec, dispatch: Dispatch, places: list[Place]) -> Iterator[Outcome]:
        while dispatch.unfinished:
            for place in places:
                _feed(place, dispatch, hosts=len(places))
            for place in _wait(places):
                outcome = self._collect(spec, dispatch, place)
                if outcome is not None:
                    yield outcome

    def _collect(self, spec: WorkerSpec, dispatch: Dispatch, place: Place) -> Outcome | None:
        """Take what came of the first thing `place` was doing; return an outcome if a task now has one."""
        try:
            result = ray.get(place.next_end)
        except DEATHS as error:
            return self._replace(spec, dispatch, place, error)
        except exceptions.RayError as error:  # for example a receipt that cannot be pickled
            if place.preparing is not None:
                return self._replace(spec, dispatch, place, error)
            result = failure(place.running[0][0], error)
        if place.preparing is None:
            place.running.popleft()
            return dispatch.settle(place.number, result)
        if result is not None:
            raise result
        place.preparing, place.false_starts = None, 0
        return None

    def _replace(self, spec: WorkerSpec, dispatch: Dispatch, place: Place, error: Exception) -> Outcome | None:
        """Put a new host in the place of one that died, and what it held back into the queue."""
        if place.preparing is not None:
            place.false_starts += 1
        if place.false_starts >= FALSE_STARTS:
            self._stop([place])
            raise WorkerBuildError(
                f"{FALSE_STARTS} worker processes in a row died before {spec.target} was ready in them: "
                + str(error).partition(" Some common causes")[0]
            ) from error
        log.debug("host %d died: %s", place.number, error)
        ray.kill(place.actor)  # a process whose node was given up may still be alive, and writing
        place.actor = self._start_host()
        place.preparing = place.actor.prepare.remote(spec)
        place.running.clear()
        return dispatch.lose(place.number, blame=not _taken_away(error), reason=str(error))

    def _open_places(self, tasks: int) -> list[Place]:
        """Return as many places as there is room and work for; start the hosts that are not there yet."""
        if self._session is None:
            self._session = Session(self._config)
            self._metrics = StageMetrics()
        wanted = min(tasks, self._session.hosts)
        while len(self._pool) < wanted:
            self._pool.append(Place(next(self._numbers), self._start_host()))
        return self._pool[:wanted]

    def _start_host(self) -> Any:
        threads = str(_threads(self._config))
        options = {
            "num_cpus": self._config.cpus_per_worker,
            "num_gpus": self._config.gpus_per_worker,
            "max_restarts": 0,
            "max_task_retries": 0,
            "runtime_env": {"env_vars": {**SETTINGS, "OMP_NUM_THREADS": threads}},
        }
        return ray.remote(Host).options(**options).remote(search_path())

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


def _threads(config: RayConfig) -> int:
    return max(1, int(config.cpus_per_worker))


def _feed(place: Place, dispatch: Dispatch, hosts: int) -> None:
    """Hand tasks to a host that is ready. One that is not might never be, and would keep them for ever."""
    while place.preparing is None and (task := dispatch.take(place.number, hosts)) is not None:
        place.running.append((task, place.actor.run.remote(task)))


def _wait(places: Sequence[Place]) -> list[Place]:
    """Return the places where something has ended; wait for the first, and warn if no host gets ready."""
    waiting = {place.next_end: place for place in places if place.next_end is not None}
    references = list(waiting)
    idle = not any(place.running for place in places)
    for pulse in itertools.count(1):
        ended, _ = ray.wait(references, num_returns=1, timeout=PULSE_SECONDS)
        if ended:
            break
        _check_cluster()
        if idle and pulse * PULSE_SECONDS == PATIENCE_SECONDS:
            log.warning("no worker is ready after %.0f s; waiting until the cluster has room", PATIENCE_SECONDS)
    ended, _ = ray.wait(references, num_returns=len(references), timeout=0)
    return [waiting[reference] for reference in ended]


def _check_cluster() -> None:
    """Raise if Ray has no node left: then nothing would ever end."""
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    if not any(node["Alive"] for node in nodes):
        raise ClusterLostError("Ray itself has died, with every worker. What was finished is kept; run it again.")


def _taken_away(error: Exception) -> bool:
    """Say whether `error` is the loss of a machine rather than of a process on it."""
    return isinstance(error, exceptions.NodeDiedError) or bool(getattr(error, "preempted", False))


class Session:
    """The connection to Ray: `hosts` says how many hosts it has room for. `close` ends what was begun here."""

    def __init__(self, config: RayConfig) -> None:
        self._cleanup = contextlib.ExitStack()
        with contextlib.ExitStack() as stack:  # undone here if anything below fails
            if not config.verbose:
                stack.enter_context(no_notices())
            if not ray.is_initialized():
                _connect(config, stack)
            self.hosts = _count_hosts(config)
            self._cleanup = stack.pop_all()

    def close(self) -> None:
        """Leave Ray, and end it if it was started here."""
        self._cleanup.close()


def _connect(config: RayConfig, stack: contextlib.ExitStack) -> None:
    options: dict[str, Any] = {"address": config.address, "log_to_driver": config.verbose}
    if config.address == "local":
        options |= {
            "num_cpus": cpus_for(config),
            "include_dashboard": False,
            "object_store_memory": OBJECT_STORE_BYTES,
            "_temp_dir": stack.enter_context(temporary_folder()),
        }
    stack.callback(ray.shutdown)
    try:
        with own_sigterm_handler():
            ray.init(logging_level=logging.INFO if config.verbose else logging.ERROR, **options)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise ConfigError(
            f"Ray cannot be reached or started at executor.address={config.address!r}: {error}"
        ) from error


def room_now(config: RayConfig) -> int:
    """Return how many workers the cluster at `config.address` has room for now; joins and leaves it."""
    with contextlib.closing(Session(config)):
        return _fitting(config)


def _fitting(config: RayConfig) -> int:
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return sum([room(node["Resources"], config) for node in nodes if node["Alive"]])


def _count_hosts(config: RayConfig) -> int:
    """Return how many hosts to run; ask for too many only of a cluster, which may grow."""
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    fits = sum([room(node["Resources"], config) for node in nodes if node["Alive"]])
    if config.address != "local":
        return config.workers or max(1, fits)
    if not fits:
        raise ConfigError(
            f"executor.gpus_per_worker={config.gpus_per_worker} is more GPUs than this machine has "
            f"({nodes[0]['Resources'].get('GPU', 0):.0f}); give 0 to work on processors"
        )
    return min(config.workers or fits, fits)
