"""The k largest (or smallest) examples of many channels at once, mergeable, with a total order.

Larger values come first; ties go to the smaller number, that is, to the smaller `example_id`. The order never depends
on batches, spans or workers. There are no buffers that start at zero: a channel whose values are all negative has real
top examples. Values that are not numbers are never among the best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from network_atlas.stats import kernels

NONE = -1
"""The number of a place that no example fills."""


@dataclass(slots=True, kw_only=True)
class TopK:
    """Per channel the best examples: arrays of shape (channels, k), best first; places past the last have number -1.

    `numbers` are the examples' places in the order of ids, `at` flat positions (row by row) in the layer's map. For the
    smallest values `sign` is -1: `values` are true values, the order is reversed.
    """

    sign: int
    values: NDArray[np.float32]
    numbers: NDArray[np.int64]
    at: NDArray[np.int32]

    @classmethod
    def empty(cls, channels: int, k: int, *, sign: int = 1) -> TopK:
        """Return no examples for each channel."""
        return cls(
            sign=sign,
            values=np.full((channels, k), -sign * np.inf, np.float32),
            numbers=np.full((channels, k), NONE, np.int64),
            at=np.zeros((channels, k), np.int32),
        )

    @property
    def k(self) -> int:
        """Return how many examples a channel can have."""
        return int(self.values.shape[1])

    @property
    def counts(self) -> NDArray[np.int64]:
        """Return how many examples each channel has, shape (channels,)."""
        counts: NDArray[np.int64] = (self.numbers != NONE).sum(axis=1)
        return counts

    def update(self, values: NDArray[np.float32], at: NDArray[np.int32], numbers: NDArray[np.int64]) -> None:
        """Take in values and positions, (examples, channels), of examples whose numbers rise from call to call."""
        kernels.add_best(values, at, numbers, self.sign, self.values, self.numbers, self.at)

    def merge(self, other: TopK) -> TopK:
        """Return the best of both."""
        values = np.concatenate([self.values, other.values], axis=1)
        numbers = np.concatenate([self.numbers, other.numbers], axis=1)
        order = np.lexsort((numbers, -self.sign * values, numbers == NONE), axis=1)[:, : self.k]
        return replace(
            self,
            values=np.take_along_axis(values, order, axis=1),
            numbers=np.take_along_axis(numbers, order, axis=1),
            at=np.take_along_axis(np.concatenate([self.at, other.at], axis=1), order, axis=1),
        )


@dataclass(slots=True, kw_only=True)
class TopClasses:
    """Per channel the classes with the best examples: one example of each of the `k` best classes.

    `classes`, of shape (channels, k), indexes `labels`. Every class's best example of a whole is the best of one of its
    parts, and among the `k` best of that part: so merging is exact.
    """

    labels: tuple[str, ...]
    best: TopK
    classes: NDArray[np.int32]

    @classmethod
    def empty(cls, channels: int, k: int, labels: Sequence[str]) -> TopClasses:
        """Return no examples for each channel, of classes with these labels; without labels there are none."""
        best = TopK.empty(channels, k if labels else 0)
        return cls(labels=tuple(labels), best=best, classes=np.zeros(best.numbers.shape, np.int32))

    def update(
        self,
        values: NDArray[np.float32],
        at: NDArray[np.int32],
        numbers: NDArray[np.int64],
        classes: NDArray[np.int32],
    ) -> None:
        """Take in examples as `TopK.update` does; `classes` index `labels`, -1 is left out."""
        lists = (self.best.values, self.best.numbers, self.best.at, self.classes)
        kernels.add_class_best(values, at, numbers, classes, lists)

    def merge(self, other: TopClasses) -> TopClasses:
        """Return the best of both: of a class that is in both, the better example."""
        labels = tuple(sorted({*self.labels, *other.labels}))
        renamed = [_renamed(part, labels) for part in (self, other)]
        classes = np.concatenate(renamed, axis=1)
        values, numbers, at = (
            np.concatenate([getattr(self.best, name), getattr(other.best, name)], axis=1)
            for name in ("values", "numbers", "at")
        )
        numbers = np.where(_is_beaten(classes, values, numbers), NONE, numbers)
        order = np.lexsort((numbers, -values, numbers == NONE), axis=1)[:, : self.best.k]
        values, numbers, at, classes = (
            np.take_along_axis(array, order, axis=1) for array in (values, numbers, at, classes)
        )
        values = np.where(numbers == NONE, -np.inf, values).astype(np.float32)
        best = TopK(sign=1, values=values, numbers=numbers, at=at)
        return TopClasses(labels=labels, best=best, classes=classes)


def _renamed(part: TopClasses, labels: tuple[str, ...]) -> NDArray[np.int32]:
    if not part.labels:
        return part.classes
    places = {label: place for place, label in enumerate(labels)}
    return np.array([places[label] for label in part.labels], np.int32)[part.classes]


def _is_beaten(
    classes: NDArray[np.int32], values: NDArray[np.float32], numbers: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Say of each example whether a better one of the same class stands in its row."""
    same = (classes[:, :, None] == classes[:, None, :]) & (numbers != NONE)[:, None, :] & (numbers != NONE)[:, :, None]
    higher = values[:, None, :] > values[:, :, None]
    equal = (values[:, None, :] == values[:, :, None]) & (numbers[:, None, :] < numbers[:, :, None])
    beaten: NDArray[np.bool_] = (same & (higher | equal)).any(axis=2)
    return beaten
