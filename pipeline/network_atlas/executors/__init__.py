"""Where the work happens: in this process, or on Ray.

    with open_executor(config.executor) as executor:
        for outcome in executor.run(spec, tasks): ...

`base` is the protocol that stages know; `inline` and `ray_cluster` fulfil it. `dispatch` (which task goes to
which host), `host` (what runs inside a worker process), `stopping` and `environment` are plain Python; only
`ray_cluster`, `ray_hosts`, `ray_session`, `ray_patches` and `ray_metrics` know Ray.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

from network_atlas.config.executor import InlineConfig, RayConfig
from network_atlas.executors.base import Executor, Outcome, Task, WorkerSpec
from network_atlas.executors.environment import set_environment

__all__ = ["cluster_capacity", "open_executor"]


def open_executor(config: InlineConfig | RayConfig) -> Executor:
    """Return the executor that `config` names; it starts and loads nothing until it has tasks."""
    return _Late(config)


class _Late:
    """An executor that is made with the first task: a run with nothing to do never loads Ray."""

    def __init__(self, config: InlineConfig | RayConfig) -> None:
        self._config = config
        self._executor: Executor | None = None

    def run(self, spec: WorkerSpec, tasks: Sequence[Task]) -> Generator[Outcome]:
        """See `Executor`."""
        if not tasks:
            return
        if self._executor is None:
            self._executor = _made(self._config)
            self._executor.__enter__()
        yield from self._executor.run(spec, tasks)

    def __enter__(self) -> _Late:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._executor is not None:
            self._executor.__exit__(*exception)
            self._executor = None


def _made(config: InlineConfig | RayConfig) -> Executor:
    if isinstance(config, InlineConfig):
        from network_atlas.executors.inline import InlineExecutor

        return InlineExecutor(config)
    set_environment(local=config.address == "local")
    from network_atlas.executors.ray_cluster import RayExecutor  # here: inline runs never load Ray

    return RayExecutor(config)


def cluster_capacity(config: RayConfig) -> int:
    """Join the cluster for a moment and return how many workers it has capacity for now.

    Raises SetupError where nobody answers at the address, ConfigError, with the reason, where no cluster does.
    """
    set_environment(local=False)
    from network_atlas.executors.ray_session import capacity_now

    return capacity_now(config)
