"""How much of each channel the dataset's classes explain, from sums per class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from network_atlas.stats.moments import Moments

Floats = NDArray[np.float64]


@dataclass(slots=True, kw_only=True)
class ClassSums:
    """The number of examples of each label, and the sums of their spatial means."""

    labels: tuple[str, ...]
    """Sorted."""
    counts: NDArray[np.int64]
    """(classes,)"""
    sums: Floats
    """(classes, channels)"""

    @classmethod
    def empty(cls, channels: int, *, labels: tuple[str, ...]) -> ClassSums:
        """Return the sums of no examples, for sorted labels."""
        return cls(labels=labels, counts=np.zeros(len(labels), np.int64), sums=np.zeros((len(labels), channels)))

    def update(self, values: NDArray[np.float32], classes: NDArray[np.int32]) -> None:
        """Take in the spatial means of some examples, (examples, channels); `classes` index `labels`, -1 is none."""
        for row, label in zip(values, classes, strict=True):  # one by one: the same bits whatever the batch
            if label >= 0:
                self.counts[label] += 1
                self.sums[label] += row

    def merge(self, other: ClassSums) -> ClassSums:
        """Return the sums over both; neither side changes."""
        labels = tuple(sorted({*self.labels, *other.labels}))
        indices = {label: index for index, label in enumerate(labels)}
        merged = ClassSums.empty(self.sums.shape[1], labels=labels)
        for part in (self, other):
            rows = [indices[label] for label in part.labels]
            merged.counts[rows] += part.counts
            merged.sums[rows] += part.sums
        return merged

    @property
    def present(self) -> ClassSums:
        """Return the sums of those classes that have an example."""
        there = self.counts > 0
        if there.all():
            return self  # without a copy: the sums of all channels are large
        labels = tuple(label for label, has_examples in zip(self.labels, there, strict=True) if has_examples)
        return ClassSums(labels=labels, counts=self.counts[there], sums=self.sums[there])

    @property
    def means(self) -> Floats:
        """Return the mean of each class: (classes, channels)."""
        return self.sums / self.counts[:, None]

    def selectivity(self, moments: Moments) -> Floats | None:
        """Return the share of each channel's variance between classes, (channels,): eta squared (Fisher 1925).

        It is 0 where all classes are alike, 1 where the class alone decides, and NaN for constant channels. `moments`
        are those of the spatial mean over all examples. None where the share would mean nothing: with one class, or
        with fewer than two examples a class on average.
        """
        total = int(self.counts.sum())
        if len(self.labels) < 2 or total < 2 * len(self.labels):
            return None
        counts, means = self.counts[:, None], self.means
        overall = (counts * means).sum(axis=0) / total
        between = (counts * (means - overall) ** 2).sum(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            share: Floats = between / moments.m2
        return np.where(moments.m2 > 0, np.clip(share, 0.0, 1.0), np.nan)
