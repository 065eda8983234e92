"""Reduce layers' maps to numbers per example and channel, on the device, inside the hook.

Nothing larger than (batch, channels) leaves the device, and nothing is kept across an in-place layer. Reductions are
in float32, whatever the model computes in, so that near-ties are ranked by the same numbers everywhere. On a processor
they are one compiled pass over the map; elsewhere they are torch's, and are copied to the host once per batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from network_atlas.layers import LayerSpec, channel_slices
from network_atlas.scan import kernels
from network_atlas.scan.helpers import NO_HELPERS, Helpers
from network_atlas.stats.reduced import FIELDS, Reduced
from network_atlas.stats.sample import positions_of

Floats = NDArray[np.float32]

KEPT = 64
"""The number of images whose numbers are kept before they go into the statistics."""
SHARED_FROM = 100_000
"""Values of a layer's maps from which threads share them: for fewer, handing them over takes longer."""


class Reducer:
    """Reduces the maps of batch after batch, for all layers, and keeps their numbers until `taken`.

    The statistics take in many images at once: they then touch each channel's memory once, not once per batch. With
    `helpers` the images of a batch are reduced side by side; each is reduced by itself, so the numbers are the same.
    """

    def __init__(self, layers: Sequence[LayerSpec], batch: int, helpers: Helpers = NO_HELPERS) -> None:
        self._helpers = helpers
        self.channels = sum(layer.channels for layer in layers)
        self.parts = {layer.name: part for layer, part in zip(layers, channel_slices(layers), strict=True)}
        # A batch begins with at most KEPT - 1 images kept, and a filled-up one writes all of its rows.
        rows = KEPT + max(2, batch)
        self._arrays: dict[str, NDArray[Any]] = {
            name: np.empty((rows, self.channels), type_) for name, type_ in FIELDS.items()
        }
        # Of sampled images. Torch converts vectors to float16 all at once, much faster than NumPy.
        self._vectors = np.empty((rows, self.channels), np.float32)
        self._centre = np.empty((rows, self.channels), np.float32)
        self._on_device: dict[str, dict[str, Tensor]] = {}
        self._images = self._sampled = 0
        self._drawn: list[tuple[int, str]] = []
        self._positions: dict[tuple[int, int], tuple[NDArray[np.int64], NDArray[np.int64]]] = {}

    def start(self, drawn: Sequence[tuple[int, str]]) -> None:
        """Expect a batch; `drawn` are the images whose vectors are kept: their indices in it and their ids."""
        self._on_device = {}
        self._drawn = list(drawn)
        self._positions = {}

    def receive(self, layer: LayerSpec, maps: Tensor) -> None:
        """Reduce `maps`, (batch, channels, rows, columns), at once."""
        if maps.device.type == "cpu":
            self._reduce(layer, _flat(maps.detach().float()))
            return
        images, positions = self._where(*layer.positions)
        values, drawn = maps.flatten(2), torch.from_numpy(images)
        # Only the sampled images are read here, and only these are converted: the maps may be large, and bfloat16.
        vectors, centre = values[drawn, :, torch.from_numpy(positions)], values[drawn, :, _flat_centre(layer)]
        self._on_device[layer.name] = on_device(maps) | {"vectors": vectors.float(), "centre": centre.float()}

    def _reduce(self, layer: LayerSpec, flat: Floats) -> None:
        part, rows = self.parts[layer.name], slice(self._images, self._images + len(flat))
        arrays = [self._arrays[name][rows, part] for name in FIELDS]
        at_once = 1 if flat.size >= SHARED_FROM and self._helpers.count > 1 else len(flat)
        parts = [slice(start, start + at_once) for start in range(0, len(flat), at_once)]
        self._helpers.do([partial(_reduce_part, flat, arrays, images) for images in parts])
        images, positions = self._where(*layer.positions)
        if len(images):
            sampled = slice(self._sampled, self._sampled + len(images))
            self._vectors[sampled, part] = flat[images, positions]
            self._centre[sampled, part] = flat[images, _flat_centre(layer)]

    def _where(self, rows: int, columns: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return which images of the batch have a vector kept, and at which flat position of a map of this size."""
        if (rows, columns) not in self._positions:
            images = np.array([image for image, _ in self._drawn], np.int64)
            down, along = positions_of([name for _, name in self._drawn], rows, columns).astype(np.int64).T
            self._positions[rows, columns] = (images, down * columns + along)
        return self._positions[rows, columns]

    def end(self, images: int) -> None:
        """Keep the first `images` of the batch."""
        if self._on_device:
            rows = slice(self._images, self._images + len(next(iter(self._on_device.values()))["spatial_maximum"]))
            for name in FIELDS:
                self._arrays[name][rows] = self._joined(name)
            if self._drawn:
                sampled = slice(self._sampled, self._sampled + len(self._drawn))
                self._vectors[sampled] = self._joined("vectors")
                self._centre[sampled] = self._joined("centre")
        self._images += images
        self._sampled += len(self._drawn)

    def _joined(self, name: str) -> NDArray[Any]:
        array: NDArray[Any] = torch.cat([self._on_device[layer][name] for layer in self.parts], dim=1).cpu().numpy()
        return array

    @property
    def full(self) -> bool:
        """Say whether enough images are kept."""
        return self._images >= KEPT

    def taken(self) -> Reduced:
        """Return the kept numbers, and start anew; the arrays are valid until the next batch starts."""
        images, sampled = self._images, self._sampled
        self._images = self._sampled = 0
        vectors = torch.from_numpy(self._vectors[:sampled]).half().numpy()
        of_all = {name: self._arrays[name][:images] for name in FIELDS}
        return Reduced(**of_all, vectors=vectors, centre=self._centre[:sampled])


def _reduce_part(flat: Floats, arrays: Sequence[NDArray[Any]], images: slice) -> None:
    maximum, maximum_at, minimum, minimum_at, mean, within = (array[images] for array in arrays)
    kernels.reduce_maps(flat[images], (maximum, maximum_at, minimum, minimum_at, mean, within))


def _flat_centre(layer: LayerSpec) -> int:
    row, column = layer.centre
    return row * layer.positions[1] + column


def _flat(maps: Tensor) -> Floats:
    """Return maps as (images, positions, channels), without a copy where they are channels-last."""
    last: Floats = maps.permute(0, 2, 3, 1).contiguous().numpy()
    return last.reshape(last.shape[0], -1, last.shape[3])


def on_device(maps: Tensor) -> dict[str, Tensor]:
    """Return the reductions of `maps`, (batch, channels, rows, columns), by torch: tensors of (batch, channels)."""
    flat = maps.flatten(2).float()
    maximum, maximum_at = flat.max(dim=2)
    minimum, minimum_at = flat.min(dim=2)
    mean = flat.mean(dim=2)
    # About the mean: the mean of squares minus the squared mean would cancel in float32.
    within = (flat - mean[:, :, None]).square().sum(dim=2)
    return dict(zip(FIELDS, (maximum, maximum_at, minimum, minimum_at, mean, within), strict=True))
