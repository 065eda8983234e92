"""Checks of the installation, this machine and the cluster. Each returns a text or raises SetupError."""

from __future__ import annotations

import platform
from importlib import metadata

from packaging.requirements import Requirement

from network_atlas.cli.extras import EXTRA
from network_atlas.config.executor import InlineConfig
from network_atlas.config.schema import RunConfig
from network_atlas.errors import SetupError, counted
from network_atlas.executors import cluster_capacity
from network_atlas.models.device import device_words

NAMED = ("torch", "ray", "pyarrow")
"""Packages whose version is always shown; that of others only if it is wrong."""


def versions_fit(distribution: str) -> str:
    """Return the installed versions. Raises SetupError for packages that are missing or have the wrong version."""
    try:
        requirements = [Requirement(line) for line in metadata.requires(distribution) or ()]
    except metadata.PackageNotFoundError as error:
        raise SetupError(
            f"{distribution} is not installed; install it from its checkout: pip install '.[{EXTRA}]'"
        ) from error
    right, wrong = [f"python {platform.python_version()}"], []
    for requirement in requirements:
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": EXTRA}):
            continue
        name, version = requirement.name, _version(requirement.name)
        if version is None or not requirement.specifier.contains(version, prereleases=True):
            wrong.append(f"{name} is {version or 'missing'}, but {name}{requirement.specifier} is needed")
        elif name in NAMED:
            right.append(f"{name} {version}")
    if wrong:
        raise SetupError(f"{'; '.join(wrong)}. Install again: pip install --upgrade '.[{EXTRA}]'")
    return ", ".join(right)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def device_is_there(config: RunConfig) -> str:
    """Return the device that a worker on this machine would use. Raises ConfigError if it is missing."""
    if gpus_are_elsewhere(config):
        return "the cluster has the GPUs; this machine needs none"
    return device_words(config.executor)


def gpus_are_elsewhere(config: RunConfig) -> bool:
    """Say whether workers use GPUs of a cluster, which this machine need not have."""
    executor = config.executor
    return not isinstance(executor, InlineConfig) and executor.address != "local" and executor.gpus_per_worker > 0


def threads_fit(config: RunConfig, processors: int) -> str:
    """Return the number of threads. Raises SetupError if there are more threads than processors."""
    executor = config.executor
    if isinstance(executor, InlineConfig):
        if executor.threads > processors:
            raise SetupError(
                f"executor.threads={executor.threads}, but there are {counted(processors, 'processor')}; "
                f"give at most {processors}, or 0 for torch's own choice"
            )
        return f"{executor.threads or processors} of {counted(processors, 'processor')}"
    each = max(1, int(executor.cpus_per_worker))
    if executor.address != "local":
        return f"{each} a worker, on the cluster's machines"
    workers = executor.workers or max(1, processors // each)
    if workers * each > processors:
        raise SetupError(
            f"executor.workers={executor.workers} with executor.cpus_per_worker={executor.cpus_per_worker:g} take "
            f"{counted(workers * each, 'thread')}, but there are {counted(processors, 'processor')}; "
            "executor.workers=0 takes as many as fit"
        )
    return f"{counted(workers, 'worker')} with {each} of {counted(processors, 'processor')} each"


def cluster_answers(config: RunConfig) -> str:
    """Return the number of workers that fit on the cluster. Raises SetupError if none fits or the cluster is silent."""
    executor = config.executor
    if isinstance(executor, InlineConfig):
        return "none is needed (executor=inline)"
    if executor.address == "local":
        return "none is needed: a run starts Ray on this machine"
    workers = cluster_capacity(executor)
    if not workers:
        needs = f"{executor.cpus_per_worker:g} processors and {executor.gpus_per_worker:g} GPUs"
        raise SetupError(
            f"the cluster at executor.address={executor.address!r} has no machine for a worker that needs {needs}; "
            "ask for less, or add machines"
        )
    return f"{executor.address}: capacity for {counted(workers, 'worker')}"
