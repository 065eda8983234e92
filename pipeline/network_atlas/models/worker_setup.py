"""What every worker that runs the network has: a device, the network on it, and the store."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from network_atlas.config.schema import RunConfig
from network_atlas.models.device import use_device
from network_atlas.models.load import load_model
from network_atlas.models.prepared import on_device
from network_atlas.store.paths import Store


class WorkerSetup(NamedTuple):
    """A worker's device, the network in its memory, and the atlas's store."""

    device: torch.device
    model: nn.Module
    store: Store


def set_up_worker(config: RunConfig, *, threads: int) -> WorkerSetup:
    """Return what a worker of this process needs; torch uses `threads` threads from now on (0: its own choice)."""
    device = use_device(config.executor, threads=threads)
    return WorkerSetup(device, on_device(load_model(config.model), device), Store.open(config.store.root))
