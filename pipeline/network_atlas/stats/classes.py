"""Measure how much of each channel the dataset's classes explain, from sums per class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from network_atlas.stats.moments import Moments

Floats = NDArray[np.float64]


@dataclass(slots=True, kw_only=True)
class ClassSums:
    """The number of examples of each label, and the sums of their spatial means, for some layers side by side."""

    labels: tuple[str, ...]
    """Sorted."""
    sizes: tuple[int, ...]
    """The number of channels of each layer."""
    counts: NDArray[np.int64]
    """(classes, layers): layers leave out different examples where values are not finite."""
    sums: Floats
    """(classes, channels)"""

    @classmethod
    def empty(cls, sizes: Sequence[int], *, labels: tuple[str, ...]) -> ClassSums:
        """Return the sums of no examples, for sorted labels and layers with `sizes` channels."""
        counts, sums = np.zeros((len(labels), len(sizes)), np.int64), np.zeros((len(labels), sum(sizes)))
        return cls(labels=labels, sizes=tuple(sizes), counts=counts, sums=sums)

    def update(self, values: NDArray[np.float32], classes: NDArray[np.int32]) -> None:
        """Take in the spatial means of some examples, (examples, channels); `classes` index `labels`, -1 is none.

        Layers whose values on an example are NaN leave it out.
        """
        firsts = np.cumsum([0, *self.sizes[:-1]])
        for row, label in zip(values, classes, strict=True):  # one by one: the same bits whatever the batch
            if label >= 0:
                is_there = ~np.isnan(row[firsts])
                self.counts[label] += is_there
                self.sums[label] += row if is_there.all() else np.where(np.isnan(row), np.float32(0), row)

    def merge(self, other: ClassSums) -> ClassSums:
        """Return the sums over both; neither side changes."""
        labels = tuple(sorted({*self.labels, *other.labels}))
        indices = {label: index for index, label in enumerate(labels)}
        merged = ClassSums.empty(self.sizes, labels=labels)
        for part in (self, other):
            rows = [indices[label] for label in part.labels]
            merged.counts[rows] += part.counts
            merged.sums[rows] += part.sums
        return merged

    @property
    def present(self) -> ClassSums:
        """Return the sums of those classes that have an example."""
        there = np.flatnonzero(self.counts.sum(axis=1))
        if len(there) == len(self.labels):
            return self  # without a copy: the sums of all channels are large
        labels = tuple(self.labels[label] for label in there)
        return replace(self, labels=labels, counts=self.counts[there], sums=self.sums[there])

    @property
    def means(self) -> Floats:
        """Return the mean of each class, (classes, channels); NaN where a layer has no example of it."""
        with np.errstate(invalid="ignore"):
            means: Floats = self.sums / self._counts_of_channels
        return means

    @property
    def _counts_of_channels(self) -> NDArray[np.int64]:
        return np.repeat(self.counts, self.sizes, axis=1)

    def selectivity(self, moments: Moments) -> Floats | None:
        """Return the share of each channel's variance between classes, (channels,): eta squared (Fisher 1925).

        It is 0 where all classes are alike, 1 where the class alone decides, and NaN for constant channels. `moments`
        are those of the spatial mean over all examples. None where the share would mean nothing: with one class, or
        with fewer than two examples a class on average.
        """
        if len(self.labels) < 2 or int(self.counts.sum(axis=0).min()) < 2 * len(self.labels):
            return None
        counts, means = self._counts_of_channels, self.means
        overall = self.sums.sum(axis=0) / counts.sum(axis=0)
        between = (counts * (means - overall) ** 2).sum(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            share: Floats = between / moments.m2
        return np.where(moments.is_constant, np.nan, np.clip(share, 0.0, 1.0))
