"""The Ray actors in which hosts live: how they start, and what Ray says when they die."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import ray
from ray import exceptions

from network_atlas.config.executor import RayConfig
from network_atlas.errors import WorkerBuildError
from network_atlas.executors.base import Outcome, Task, WorkerSpec
from network_atlas.executors.environment import SETTINGS

DEATHS = (
    exceptions.RayActorError,
    exceptions.WorkerCrashedError,
    exceptions.OutOfMemoryError,
    exceptions.NodeDiedError,
    exceptions.ObjectLostError,
    exceptions.LocalRayletDiedError,
)
"""Errors which say that the host is gone. Only the first is a RayActorError, so each must be listed."""


def start_host(config: RayConfig, gpus: float) -> Any:
    """Return the actor of a new host, which reserves `gpus`. Ray starts it when the cluster has capacity."""
    threads = str(threads_of(config))
    options = {
        "num_cpus": config.cpus_per_worker,
        "num_gpus": gpus,
        "max_restarts": 0,  # a restarted actor would have lost its worker and its search path
        "max_task_retries": 0,
        "runtime_env": {"env_vars": {**SETTINGS, "OMP_NUM_THREADS": threads}},
    }
    actor = _actor_class([os.path.abspath(entry) for entry in sys.path], os.getcwd())
    return ray.remote(actor).options(**options).remote()


def threads_of(config: RayConfig) -> int:
    """Return the number of threads of one host; a share of a processor counts as one."""
    return max(1, int(config.cpus_per_worker))


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


def in_short(error: Exception) -> str:
    """Return Ray's message about a death, without its guesses and its tables of names and numbers."""
    lines = str(error).partition(" Some common causes")[0].splitlines()
    said = [line.strip() for line in lines if line.strip() and not line.startswith("\t")]
    return " ".join(said) or type(error).__name__


def is_taken_away(error: Exception) -> bool:
    """Say whether a machine was lost, and not only a process on it."""
    return isinstance(error, exceptions.NodeDiedError) or bool(getattr(error, "preempted", False))
