"""The sampled examples of one span, gathered while it is scanned, laid out as they are written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from network_atlas.layers import LayerSpec, channel_slices
from network_atlas.stats.reduced import Reduced
from network_atlas.stats.sample import positions_of

FIELDS: dict[str, type] = {
    "spatial_mean": np.float32,
    "spatial_maximum": np.float32,
    "spatial_maximum_at": np.int32,
    "vectors": np.float16,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """The sampled examples of a span: per layer (examples, channels), laid flat, one layer after the other."""

    ids: Sequence[str]
    labels: Sequence[str]
    spatial_mean: NDArray[np.float32]
    spatial_maximum: NDArray[np.float32]
    spatial_maximum_at: NDArray[np.int32]
    vectors: NDArray[np.float16]
    vectors_at: NDArray[np.int32]
    """Row and column of each vector: (layers * examples, 2)."""


class RunningSample:
    """The values of the sampled examples of a span, at most `capacity` of them."""

    def __init__(self, layers: Sequence[LayerSpec], capacity: int) -> None:
        self._layers, self._capacity = layers, capacity
        size = capacity * sum(layer.channels for layer in layers)
        self._flat: dict[str, NDArray[Any]] = {name: np.empty(size, type_) for name, type_ in FIELDS.items()}
        self._ids: list[str] = []
        self._labels: list[str] = []

    def _blocks(self, name: str) -> Iterator[tuple[slice, NDArray[Any]]]:
        """Yield the channels of each layer, and the array (examples, channels) that holds their values."""
        for part in channel_slices(self._layers):
            block = self._flat[name][part.start * self._capacity : part.stop * self._capacity]
            yield part, block.reshape(self._capacity, part.stop - part.start)

    def update(self, reduced: Reduced, images: Sequence[int], ids: Sequence[str], labels: Sequence[str]) -> None:
        """Take in the sampled ones of some examples: those at `images` of `reduced`, with their ids and labels."""
        rows = slice(len(self._ids), len(self._ids) + len(images))
        for name in FIELDS:
            # Vectors were taken of the sampled examples alone; the other numbers of all.
            values = reduced.vectors if name == "vectors" else getattr(reduced, name)[images]
            for part, block in self._blocks(name):
                block[rows] = values[:, part]
        self._ids += ids
        self._labels += labels

    @property
    def result(self) -> Sampled:
        """Return the values of the examples that were taken in."""
        positions = [positions_of(self._ids, *layer.positions) for layer in self._layers]
        return Sampled(
            ids=self._ids,
            labels=self._labels,
            vectors_at=np.concatenate([np.empty((0, 2), np.int32), *positions]),
            **{name: self._result(name) for name in FIELDS},
        )

    def _result(self, name: str) -> NDArray[Any]:
        count = len(self._ids)
        if count == self._capacity:
            return self._flat[name]
        # Some images could not be read, so each layer's block has rows that nothing filled.
        return np.concatenate([block[:count].reshape(-1) for _, block in self._blocks(name)])
