"""The connection to Ray: one started on this machine, or a running cluster."""

from __future__ import annotations

import contextlib
import logging
from typing import Any

import ray

from network_atlas.config.executor import RayConfig
from network_atlas.errors import ClusterLostError, ConfigError
from network_atlas.executors.environment import check_reachable, cpus_for, temporary_folder, workers_that_fit
from network_atlas.executors.ray_patches import no_notices, own_sigterm_handler

OBJECT_STORE_BYTES = 100_000_000  # only specs and receipts travel through Ray; it refuses less than 75 MiB


class Session:
    """A connection to Ray; `close` ends it, and ends a Ray that was started for it."""

    def __init__(self, config: RayConfig) -> None:
        self._config = config
        self._cleanup = contextlib.ExitStack()
        if config.address != "local":
            check_reachable(config.address)
        with contextlib.ExitStack() as stack:  # undone here if anything below fails
            if not config.verbose:
                stack.enter_context(no_notices())
            if not ray.is_initialized():
                _connect(config, stack)
            self._check_gpus()
            self._cleanup = stack.pop_all()

    def close(self) -> None:
        """Disconnect from Ray, and end it if it was started here."""
        self._cleanup.close()

    def fitting(self, *, gpus: float) -> int:
        """Return how many workers, each with `gpus` GPUs, all machines together have capacity for now.

        Raises ClusterLostError if no machine is left: the run would wait for ever.
        """
        nodes = [node for node in _nodes() if node["Alive"]]
        if not nodes:
            raise ClusterLostError("Ray itself has died, with every worker. What was finished is kept; run it again.")
        return sum([workers_that_fit(node["Resources"], self._config.cpus_per_worker, gpus) for node in nodes])

    def workers(self, *, gpus: float) -> int:
        """Return how many workers to run: those asked for, or as many as fit, and one at least.

        A cluster may be asked for more than its capacity, since it may grow. This machine can't grow.
        """
        # One at least: a cluster without a machine that fits may be about to get one.
        fits = max(1, self.fitting(gpus=gpus))
        if not self._config.workers:
            return fits
        return min(self._config.workers, fits) if self._config.address == "local" else self._config.workers

    def _check_gpus(self) -> None:
        gpus = self._config.gpus_per_worker
        if self._config.address == "local" and not self.fitting(gpus=gpus):
            raise ConfigError(
                f"executor.gpus_per_worker={gpus} is more GPUs than this machine has "
                f"({_nodes()[0]['Resources'].get('GPU', 0):.0f}); give 0 to work on processors"
            )


def capacity_now(config: RayConfig) -> int:
    """Return how many workers the cluster at `config.address` has capacity for now; joins and leaves it."""
    with contextlib.closing(Session(config)) as session:
        return session.fitting(gpus=config.gpus_per_worker)


def _nodes() -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return nodes


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
