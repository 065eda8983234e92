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
    "centre": np.float32,
}
OF_SAMPLED = ("vectors", "centre")
"""Fields that were taken of the sampled examples alone; the other numbers are of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """The sampled examples of a span: per layer (examples, channels), laid flat, one layer after the other.

    A layer has only those examples on which its values are all finite.
    """

    ids: Sequence[str]
    labels: Sequence[str]
    of_layers: Sequence[NDArray[np.int64]]
    """Which of `ids` each layer has: (examples,)."""
    spatial_mean: NDArray[np.float32]
    spatial_maximum: NDArray[np.float32]
    spatial_maximum_at: NDArray[np.int32]
    vectors: NDArray[np.float16]
    vectors_at: NDArray[np.int32]
    """Row and column of each vector: (examples of all layers, 2)."""
    centre: NDArray[np.float32]


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
            values = getattr(reduced, name) if name in OF_SAMPLED else getattr(reduced, name)[images]
            for part, block in self._blocks(name):
                block[rows] = values[:, part]
        self._ids += ids
        self._labels += labels

    @property
    def result(self) -> Sampled:
        """Return the values of the examples that were taken in."""
        count = len(self._ids)
        # A layer's numbers on an example are NaN for all of its channels, or for none.
        rows = [np.flatnonzero(~np.isnan(block[:count, 0])) for _, block in self._blocks("spatial_mean")]
        positions = [
            positions_of([self._ids[row] for row in kept], *layer.positions)
            for kept, layer in zip(rows, self._layers, strict=True)
        ]
        return Sampled(
            ids=self._ids,
            labels=self._labels,
            of_layers=rows,
            vectors_at=np.concatenate([np.empty((0, 2), np.int32), *positions]),
            **{name: self._result(name, rows) for name in FIELDS},
        )

    def _result(self, name: str, rows: Sequence[NDArray[np.int64]]) -> NDArray[Any]:
        if all(len(kept) == self._capacity for kept in rows):
            return self._flat[name]
        # Some images could not be read, or are left out, so each layer's block has rows that are of no use.
        return np.concatenate(
            [block[kept].reshape(-1) for kept, (_, block) in zip(rows, self._blocks(name), strict=True)]
        )
