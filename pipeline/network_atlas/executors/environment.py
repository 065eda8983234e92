"""Settings for Ray that must stand before it is imported: environment variables, counts, folders.

Nothing here imports Ray.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from network_atlas.config.executor import RayConfig
from network_atlas.errors import SetupError

SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",  # no telemetry, and no prompt about it
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # under `uv run`, Ray would start workers in another Python
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # workers without a GPU must not see the machine's GPUs
    "RAY_prestart_worker_first_driver": "0",  # one idle process a processor, of which no host can use any
}
CONNECT_SECONDS = 5.0
"""How long a cluster may take to answer."""
OWNER_LOCK = "atlas-driver.lock"
ABANDONED_SECONDS = 60.0
"""A folder that is younger is left alone: its owner may be about to lock it."""
LONGEST_TEMPORARY = 23
"""Ray's sockets lie about 75 characters below its folder, and a socket's path may have 107 (macOS: 103)."""


def set_environment(*, local: bool) -> None:
    """Set Ray's environment variables, except those the user has set.

    A local Ray listens on every network interface and asks for a token. By default it writes that into the home folder,
    which fails where the home is read-only. So it gets a random token by the environment.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    if local and not any(name.startswith("RAY_AUTH_") for name in os.environ):
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def count_cpus() -> int:
    """Return how many processors this process may use: its affinity, and its container's quota."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(count, int(quota) // int(period)))
    except (OSError, ValueError):  # no control group (version 2), or no limit: the quota is the word 'max'
        return count


def cpus_for(config: RayConfig) -> int:
    """Return how many processors a local Ray should count: all, and at least as many as the workers need."""
    return max(count_cpus(), math.ceil(config.cpus_per_worker * max(1, config.workers)))


def workers_that_fit(resources: Mapping[str, float], cpus: float, gpus: float) -> int:
    """Return how many workers, each with `cpus` processors and `gpus` GPUs, fit on a machine with these resources."""
    fits = _parts(resources.get("CPU", 0), cpus)
    if gpus:
        there = resources.get("GPU", 0)
        fits = min(fits, _parts(there, gpus) if gpus >= 1 else int(there) * _parts(1, gpus))
    return fits


def _parts(whole: float, share: float) -> int:
    return math.floor(whole / share + 1e-6)  # 1 / 0.1 and the like must not come out just below the number


@contextlib.contextmanager
def temporary_folder() -> Iterator[str]:
    """Yield a new folder for a local Ray's sockets and logs, with a path short enough for a socket's.

    Folders that killed drivers left behind are removed.
    """
    usual = tempfile.gettempdir()
    short = usual if len(usual) <= LONGEST_TEMPORARY else "/tmp"  # noqa: S108 - the folder made there is private
    for folder in Path(short).glob("atlas-*"):
        _remove_if_abandoned(folder)
    # A lock and not the driver's process number: a container that shares the folder counts other processes. The system
    # gives the lock back when the driver dies, however it dies.
    with (
        tempfile.TemporaryDirectory(prefix="atlas-", dir=short, ignore_cleanup_errors=True) as new,
        open(os.path.join(new, OWNER_LOCK), "w") as file,
    ):
        fcntl.flock(file, fcntl.LOCK_EX)
        yield new


def _remove_if_abandoned(folder: Path) -> None:
    try:
        with open(folder / OWNER_LOCK) as file:
            if time.time() - os.fstat(file.fileno()).st_mtime < ABANDONED_SECONDS:
                return
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
    except OSError:  # not a folder of ours, or one that is in use
        return


def check_reachable(address: str) -> None:
    """Raise SetupError at once where nobody listens: Ray itself would try for a minute."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        raise SetupError(
            f"nobody answers at executor.address={address!r} ({error.strerror or error}); start Ray there "
            "(ray start --head), or give the address that it printed"
        ) from error
