"""The settings of executors: where tasks run. None of them determines a result."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BeforeValidator

from network_atlas.config.declare import NOTHING, AboveZero, Count, NotNegative, setting, settings

SHARE_TOLERANCE = 1e-3  # people write a third as 0.333


@settings
class InlineConfig:
    """Run everything in this process."""

    name: Literal["inline"] = setting(NOTHING)
    threads: Count = setting(NOTHING)
    """Torch threads; 0 leaves torch's own choice."""
    price_per_hour: NotNegative = setting(NOTHING, default=0.0)


def _count_or_auto(value: object) -> object:
    if isinstance(value, str) and value != "auto":
        raise ValueError("must be a whole number, or 'auto' for as many as the cluster has capacity for")
    return 0 if value == "auto" else value


@settings
class RayConfig:
    """Run workers on Ray."""

    name: Literal["ray"] = setting(NOTHING)
    address: str = setting(NOTHING)
    """'local' starts Ray on this machine; 'auto' or an address joins a running cluster."""
    workers: Annotated[Count, BeforeValidator(_count_or_auto)] = setting(NOTHING)
    """0, or 'auto': as many as the cluster has capacity for, also while it grows or shrinks."""
    cpus_per_worker: AboveZero = setting(NOTHING)
    gpus_per_worker: NotNegative = setting(NOTHING)
    """0, a whole number, or 1/n to share a GPU among n workers."""
    verbose: bool = setting(NOTHING)
    """Show Ray's own messages."""
    grace_seconds: NotNegative = setting(NOTHING, default=10.0)
    """How long tasks in flight may go on after SIGTERM or Ctrl-C."""
    price_per_hour: NotNegative = setting(NOTHING, default=0.0)
    """Price of one worker, in any currency; 0 if it is not known."""

    def __post_init__(self) -> None:
        if not self.address.strip():
            raise ValueError("address is empty; give 'local', 'auto' or the address of a running cluster")
        _check_gpu_share(self.gpus_per_worker)


def _check_gpu_share(share: float) -> None:
    """Raise ValueError unless a worker takes whole GPUs, or a whole number of workers fills one GPU."""
    if share >= 1:
        below = float(math.floor(share))
        nearest = (below, below + 1)
    else:
        workers = math.floor(1 / share) if share > 0 else 0
        nearest = (1 / (workers + 1), 1 / workers) if workers else (0.0, 0.0)
    if min(abs(share - allowed) for allowed in nearest) > SHARE_TOLERANCE:
        raise ValueError(
            f"gpus_per_worker={share} must be 0, a whole number, or 1/n to share a GPU among n workers; "
            f"the nearest are {nearest[0]:.4g} and {nearest[1]:.4g}"
        )
