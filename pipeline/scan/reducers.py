"""Reduce layers' maps to numbers per example and channel, on the device, inside the hook.

Nothing larger than (batch, channels) leaves the device, and nothing is kept across an in-place layer. Reductions are
in float32, whatever the model computes in, so that near-ties are ranked by the same numbers everywhere. On a processor
they are one compiled pass over the map; elsewhere they are torch's, and are copied to the host once per batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.scan import kernels
from pipeline.stats.sample import position_of
from pipeline.units import LayerSpec

FIELDS: dict[str, type] = {
    "peak": np.float32,
    "peak_at": np.int32,
    "trough": np.float32,
    "trough_at": np.int32,
    "mean": np.float32,
    "within": np.float64,
}
"""What a map becomes: spatial maximum and minimum with their flat positions, spatial mean, and the sum of squared
distances from it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduced:
    """One batch; arrays of shape (examples, channels of all layers)."""

    peak: NDArray[np.float32]
    peak_at: NDArray[np.int32]
    trough: NDArray[np.float32]
    trough_at: NDArray[np.int32]
    mean: NDArray[np.float32]
    within: NDArray[np.float64]
    vectors: NDArray[np.float16]
    """Of the sampled examples: the values at one position."""


class Reducer:
    """Takes in the maps of one batch after the other; a context for as many layers as there are."""

    def __init__(self, layers: Sequence[LayerSpec]) -> None:
        ends = np.cumsum([layer.channels for layer in layers])
        self.channels = int(ends[-1]) if len(ends) else 0
        self.parts = {
            layer.name: slice(int(end) - layer.channels, int(end)) for layer, end in zip(layers, ends, strict=True)
        }
        self._arrays: dict[str, NDArray[Any]] = {}
        self._on_device: dict[str, dict[str, Tensor]] = {}
        self._sampled: list[tuple[int, str]] = []
        self._vectors = np.empty((0, self.channels), np.float16)

    def start(self, images: int, sampled: Sequence[tuple[int, str]]) -> None:
        """Expect a batch of `images`; `sampled` are those whose vectors are kept: their places in it and their ids."""
        if not self._arrays or len(self._arrays["peak"]) != images:
            self._arrays = {name: np.empty((images, self.channels), type_) for name, type_ in FIELDS.items()}
        self._on_device = {}
        self._sampled = list(sampled)
        self._vectors = np.empty((len(sampled), self.channels), np.float16)

    def receive(self, layer: LayerSpec, maps: Tensor) -> None:
        """Reduce `maps`, (batch, channels, rows, columns), at once."""
        if maps.device.type == "cpu":
            self._reduce_here(layer, maps)
        else:
            self._on_device[layer.name] = on_device(maps) | {"vectors": self._vectors_of(layer, maps)}

    def _reduce_here(self, layer: LayerSpec, maps: Tensor) -> None:
        part = self.parts[layer.name]
        last = maps.detach().float().permute(0, 2, 3, 1)
        flat = last.reshape(last.shape[0], -1, last.shape[3]).contiguous().numpy()
        kernels.reduce_maps(flat, *(self._arrays[name][:, part] for name in FIELDS))
        for place, (image, example_id) in enumerate(self._sampled):
            row, column = position_of(example_id, maps.shape[2], maps.shape[3])
            self._vectors[place, part] = flat[image, row * maps.shape[3] + column]

    def _vectors_of(self, layer: LayerSpec, maps: Tensor) -> Tensor:
        places = [(image, *position_of(name, maps.shape[2], maps.shape[3])) for image, name in self._sampled]
        images, rows, columns = (torch.tensor([place[axis] for place in places], dtype=torch.long) for axis in range(3))
        return maps[images, :, rows, columns].float()

    def reduced(self, images: int) -> Reduced:
        """Return what the batch became, of its first `images`; valid until the next one starts."""
        for name in FIELDS if self._on_device else ():
            joined = torch.cat([self._on_device[layer][name] for layer in self.parts], dim=1)
            self._arrays[name][:] = joined.cpu().numpy()
        if self._on_device and self._sampled:
            joined = torch.cat([self._on_device[layer]["vectors"] for layer in self.parts], dim=1)
            self._vectors[:] = joined.cpu().numpy()
        return Reduced(**{name: self._arrays[name][:images] for name in FIELDS}, vectors=self._vectors)


def on_device(maps: Tensor) -> dict[str, Tensor]:
    """Return the reductions of `maps`, (batch, channels, rows, columns), by torch: tensors of (batch, channels)."""
    flat = maps.flatten(2).float()
    peak, peak_at = flat.max(dim=2)
    trough, trough_at = flat.min(dim=2)
    mean = flat.mean(dim=2)
    within = (flat - mean[:, :, None]).square().sum(dim=2)
    return dict(zip(FIELDS, (peak, peak_at, trough, trough_at, mean, within), strict=True))
