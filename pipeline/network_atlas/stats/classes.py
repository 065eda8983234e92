"""How much the dataset's classes explain of each channel: sums per class, mergeable."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from network_atlas.stats.moments import Moments

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassSums:
    """Per label, how many examples there are, and their spatial means added up."""

    labels: tuple[str, ...]
    """Sorted."""
    counts: NDArray[np.int64]
    """(classes,)"""
    sums: Floats
    """(classes, channels)"""

    def merge(self, other: ClassSums) -> ClassSums:
        """Return the sums over both."""
        labels = tuple(sorted({*self.labels, *other.labels}))
        places = {label: place for place, label in enumerate(labels)}
        counts, sums = np.zeros(len(labels), np.int64), np.zeros((len(labels), self.sums.shape[1]))
        for one in (self, other):
            own = [places[label] for label in one.labels]
            counts[own] += one.counts
            sums[own] += one.sums
        return ClassSums(labels=labels, counts=counts, sums=sums)

    @property
    def means(self) -> Floats:
        """Return the mean of each class: (classes, channels)."""
        return self.sums / self.counts[:, None]

    def selectivity(self, moments: Moments) -> Floats | None:
        """Return which share of each channel's variance lies between classes (eta squared, Fisher 1925): 0 where
        classes are all alike, 1 where the class alone decides. NaN for constant channels.

        `moments` are those of the spatial mean over all examples. None where it would say nothing: with one class, or
        when classes have fewer than two examples on average.
        """
        total = int(self.counts.sum())
        if len(self.labels) < 2 or total < 2 * len(self.labels):
            return None
        counts, means = self.counts[:, None], self.means
        own = (counts * means).sum(axis=0) / total
        between = (counts * (means - own) ** 2).sum(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            share: Floats = between / moments.m2
        return np.where(moments.m2 > 0, np.clip(share, 0.0, 1.0), np.nan)
