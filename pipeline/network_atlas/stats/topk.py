"""The k largest (or smallest) examples of many channels at once, with a total order.

Larger values come first; ties go to the smaller number, that is, to the smaller `example_id`. The order never depends
on batches, spans or workers. There are no buffers that start at zero: a channel whose values are all negative has real
top examples. Values that are not numbers are never among the best.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from network_atlas.stats import kernels

NONE = -1
"""The number of an entry that no example fills."""


@dataclass(slots=True, kw_only=True)
class TopK:
    """The best examples of each channel, best first; arrays are (channels, k). Empty entries have the number -1.

    `numbers` count the examples in the order of ids. `at` are flat positions (row by row) in the layer's map. For the
    smallest values `sign` is -1: `values` stay as they are, the order is reversed.
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
        """Take in some examples: `values` and `at` are (examples, channels), `numbers` are (examples,).

        Numbers must rise, from call to call too: ties go to the example that came first.
        """
        kernels.add_best(values, at, numbers, self.sign, (self.values, self.numbers, self.at))

    def merge(self, other: TopK) -> TopK:
        """Return the best of both; neither side changes."""
        values = np.concatenate([self.values, other.values], axis=1)
        numbers = np.concatenate([self.numbers, other.numbers], axis=1)
        # The last key counts most: filled entries first, then by value, then by number.
        order = np.lexsort((numbers, -self.sign * values, numbers == NONE), axis=1)[:, : self.k]
        return replace(
            self,
            values=np.take_along_axis(values, order, axis=1),
            numbers=np.take_along_axis(numbers, order, axis=1),
            at=np.take_along_axis(np.concatenate([self.at, other.at], axis=1), order, axis=1),
        )


@dataclass(slots=True, kw_only=True)
class TopClasses:
    """The classes with the best examples of each channel: one example of each of the `k` best classes.

    `classes`, (channels, k), indexes `labels`. A class's best example of the whole is the best of one part, and among
    the `k` best of that part. So merging is exact.
    """

    labels: tuple[str, ...]
    best: TopK
    classes: NDArray[np.int32]

    @classmethod
    def empty(cls, channels: int, k: int, *, labels: tuple[str, ...]) -> TopClasses:
        """Return no examples for each channel; without labels there is nothing to keep, and k is 0."""
        best = TopK.empty(channels, k if labels else 0)
        return cls(labels=labels, best=best, classes=np.zeros(best.numbers.shape, np.int32))

    def update(
        self,
        values: NDArray[np.float32],
        at: NDArray[np.int32],
        numbers: NDArray[np.int64],
        classes: NDArray[np.int32],
    ) -> None:
        """Take in some examples, as `TopK.update` does; `classes`, (examples,), index `labels`, and -1 is none."""
        best = (self.best.values, self.best.numbers, self.best.at)
        kernels.add_class_best(values, at, numbers, classes, best, self.classes)

    def merge(self, other: TopClasses) -> TopClasses:
        """Return the best of both; of a class that is in both, the better example. Neither side changes."""
        labels = tuple(sorted({*self.labels, *other.labels}))
        renamed = [_renamed(part, labels) for part in (self, other)]
        classes = np.concatenate(renamed, axis=1)
        values, numbers, at = (
            np.concatenate([getattr(self.best, name), getattr(other.best, name)], axis=1)
            for name in ("values", "numbers", "at")
        )
        # Within a part a class stands once, so at most two entries of a row compete.
        numbers = np.where(_is_beaten(classes, values, numbers), NONE, numbers)
        order = np.lexsort((numbers, -values, numbers == NONE), axis=1)[:, : self.best.k]
        values, numbers, at, classes = (
            np.take_along_axis(array, order, axis=1) for array in (values, numbers, at, classes)
        )
        # As in `empty`: an entry that no example fills has the lowest value.
        values = np.where(numbers == NONE, -np.inf, values).astype(np.float32)
        best = TopK(sign=1, values=values, numbers=numbers, at=at)
        return TopClasses(labels=labels, best=best, classes=classes)


def _renamed(part: TopClasses, labels: tuple[str, ...]) -> NDArray[np.int32]:
    if not part.labels:
        return part.classes
    indices = {label: index for index, label in enumerate(labels)}
    return np.array([indices[label] for label in part.labels], np.int32)[part.classes]


def _is_beaten(
    classes: NDArray[np.int32], values: NDArray[np.float32], numbers: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Say of each example whether a better one of the same class stands in its row."""
    same = (classes[:, :, None] == classes[:, None, :]) & (numbers != NONE)[:, None, :] & (numbers != NONE)[:, :, None]
    higher = values[:, None, :] > values[:, :, None]
    equal = (values[:, None, :] == values[:, :, None]) & (numbers[:, None, :] < numbers[:, :, None])
    beaten: NDArray[np.bool_] = (same & (higher | equal)).any(axis=2)
    return beaten
