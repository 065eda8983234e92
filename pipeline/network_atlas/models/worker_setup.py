"""Set up a worker that runs the network: a device, the network on it, and the store."""

from __future__ import annotations

import os
from typing import NamedTuple
from weakref import WeakValueDictionary

import torch
from torch import nn

from network_atlas.config.plain import plain
from network_atlas.config.schema import ModelConfig, RunConfig
from network_atlas.fingerprints import fingerprint
from network_atlas.models.checkpoint_files import checkpoint_paths
from network_atlas.models.device import use_device
from network_atlas.models.load import load_model, ready
from network_atlas.store.root import Store

_MODELS: WeakValueDictionary[tuple[str, str], nn.Module] = WeakValueDictionary()
"""Weak: a model is freed with the last worker that holds it."""


class WorkerSetup(NamedTuple):
    """A worker's device, the network in its memory, and the atlas's store."""

    device: torch.device
    model: nn.Module
    store: Store


def set_up_worker(config: RunConfig, *, threads: int) -> WorkerSetup:
    """Return what a worker of this process needs; torch uses `threads` threads from now on (0: its own choice)."""
    device = use_device(config.executor, threads=threads)
    return WorkerSetup(device, _shared_model(config.model, device), Store.open(config.store.root))


def _shared_model(config: ModelConfig, device: torch.device) -> nn.Module:
    """Return the model that another worker of this process holds, or load it.

    A host keeps the workers of all stages: without sharing, a GPU would hold the model three times.
    """
    # A checkpoint that was written anew under the same name is another model.
    key = (fingerprint(plain(config), _stamps(config.weights)), str(device))
    model = _MODELS.get(key)
    if model is None:
        model = _MODELS[key] = ready(load_model(config), config, device)
    return model


def _stamps(weights: str) -> list[tuple[int, ...]]:
    """Return size, times and number on its disk of each file of a checkpoint; none where it is no file."""
    files = [os.stat(path) for path in checkpoint_paths(weights) if os.path.isfile(path)]
    return [(file.st_size, file.st_mtime_ns, file.st_ctime_ns, file.st_ino) for file in files]
