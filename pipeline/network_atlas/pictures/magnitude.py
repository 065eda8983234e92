"""The frequency magnitude of photographs, for pictures of which only the phase is learned."""

from __future__ import annotations

import importlib.resources
from typing import Any

import numpy as np
import torch
from torch import Tensor

from network_atlas.errors import StoreError
from network_atlas.store.paths import Store
from network_atlas.store.shards import read_rows

PACKAGED = "photos_magnitude.npy"
"""Mean over the demo photos, three channels in decorrelated colours; made by scripts/make_magnitude."""


def magnitude_for(parameterization: Any, store: Store, statistics_file: str) -> Tensor | None:
    """Return what a parameterization's configuration asks for, (channels, height, width // 2 + 1), or None."""
    wanted = getattr(parameterization, "magnitude", None)
    if wanted is None:
        return None
    return packaged_magnitude() if wanted == "packaged" else scanned_magnitude(store, statistics_file)


def packaged_magnitude() -> Tensor:
    """Return the magnitude that comes with the package."""
    file = importlib.resources.files("network_atlas.pictures") / PACKAGED
    with file.open("rb") as stream:
        return torch.from_numpy(np.load(stream, allow_pickle=False).astype(np.float32))


def scanned_magnitude(store: Store, path: str) -> Tensor:
    """Return the mean magnitude of the run's dataset, as the scan left it."""
    rows = read_rows(store, path)
    if not rows or not rows[0]["count"]:
        raise StoreError(
            f"{path} under store.root={store.root!r} holds no statistics of the dataset; run the scan again"
        )
    row: Any = rows[0]
    shape = (-1, int(row["height"]), int(row["width"]) // 2 + 1)
    return torch.tensor(row["magnitude"], dtype=torch.float32).reshape(shape)
