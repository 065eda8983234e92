"""Small workers that do what real ones may do: answer, raise, die, fail to be built."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from network_atlas.config.executor import RayConfig
from network_atlas.errors import ModelError, StoreError
from network_atlas.executors.base import WorkerSpec


@dataclass(frozen=True)
class ExampleTask:
    """A task that names an action ('echo', 'fail', 'kill', ...) and a folder in which to leave marks."""

    id: str
    action: str = "echo"
    folder: str = ""
    times: int = 1_000_000
    """Attempts in which the action is done; later ones only echo."""
    cached_input: str = ""
    parts: tuple[ExampleTask, ...] = ()
    """The parts of the task: halves are named by their parts, joined with '+'."""

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.id,)

    @property
    def items(self) -> int:
        return 1

    @property
    def units(self) -> tuple[str, ...]:
        return (self.id,)

    def split(self) -> tuple[ExampleTask, ...]:
        middle = len(self.parts) // 2
        groups = (self.parts[:middle], self.parts[middle:]) if middle else ()
        return tuple(
            group[0] if len(group) == 1 else ExampleTask("+".join(part.id for part in group), parts=group)
            for group in groups
        )


class UnpicklableError(Exception):
    """An exception that no other process can rebuild."""

    def __init__(self, first: object, second: object) -> None:
        super().__init__("cannot be rebuilt")
        self.parts = (first, second, lambda: None)


class ExampleWorker:
    """Does the action of each task, and counts the tasks that this object has seen."""

    def __init__(self, config: object, *, threads: int) -> None:
        self.config, self.threads, self.seen, self.folder = config, threads, 0, ""

    def run(self, task: ExampleTask) -> dict[str, object]:
        self.seen += 1
        if task.action != "echo" and mark(task) <= task.times:
            self.folder = task.folder
            getattr(self, task.action)()
        answer = {"id": task.id, "pid": os.getpid(), "threads": self.threads, "seen": self.seen, "at": time.time()}
        return {**answer, "gpus": os.environ.get("CUDA_VISIBLE_DEVICES")}

    def fail(self) -> None:
        raise ValueError("not today")

    def fail_oddly(self) -> None:
        raise UnpicklableError(1, 2)

    def lose_store(self) -> None:
        raise StoreError("the root is gone")

    def kill(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def meet(self) -> None:
        """Wait, at most a minute, until two tasks have left their marks in the folder."""
        until = time.monotonic() + 60  # far longer than a host needs to start
        while len(os.listdir(self.folder)) < 2 and time.monotonic() < until:
            time.sleep(0.05)

    def rest(self) -> None:
        time.sleep(0.2)

    def interrupt(self) -> None:
        raise KeyboardInterrupt


class OtherWorker(ExampleWorker):
    """A second stage's worker."""


class UnbuildableWorker:
    def __init__(self, config: object, *, threads: int) -> None:
        raise ModelError("there is no model 'resnet51'")


class DyingWorker:
    def __init__(self, config: object, *, threads: int) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class EnvironmentWorker:
    """Returns environment variables of its process."""

    def __init__(self, config: object, *, threads: int) -> None:
        pass

    def run(self, task: ExampleTask) -> dict[str, str | None]:
        names = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "RAY_USAGE_STATS_ENABLED")
        return {name: os.environ.get(name) for name in names}


def mark(task: ExampleTask) -> int:
    """Leave one more mark of `task` and return their number."""
    path = Path(task.folder, task.id)
    with path.open("a") as file:
        file.write("x")
    return path.stat().st_size


def ray_config(**settings: object) -> RayConfig:
    """Return the configuration of two workers on this machine, changed by `settings`."""
    usual = {"address": "local", "workers": 2, "cpus_per_worker": 1, "gpus_per_worker": 0, "verbose": False}
    return RayConfig(name="ray", **{**usual, **settings})  # type: ignore[arg-type]


def spec(name: str = "ExampleWorker", settings: object = None) -> WorkerSpec:
    """Return the specification of an example worker; it takes any value for a configuration."""
    return WorkerSpec(f"executors.example_workers:{name}", settings, stage="example")  # type: ignore[arg-type]
