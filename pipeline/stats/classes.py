"""How much the dataset's classes explain of each channel: sums per class, mergeable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.stats.moments import Moments

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassSums:
    """Per label, how many examples there are, and their spatial means added up, shape (channels,)."""

    counts: Mapping[str, int]
    sums: Mapping[str, Floats]

    def merge(self, other: ClassSums) -> ClassSums:
        """Return the sums over both."""
        labels = sorted({*self.counts, *other.counts})
        none = np.float64(0.0)
        return ClassSums(
            counts={label: self.counts.get(label, 0) + other.counts.get(label, 0) for label in labels},
            sums={label: np.asarray(self.sums.get(label, none) + other.sums.get(label, none)) for label in labels},
        )

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the labels, sorted."""
        return tuple(sorted(self.counts))

    def means(self) -> Floats:
        """Return the mean of each class, in the order of `labels`: (classes, channels)."""
        return np.stack([self.sums[label] / self.counts[label] for label in self.labels])

    def selectivity(self, moments: Moments) -> Floats | None:
        """Return which share of each channel's variance lies between classes (eta squared, Fisher 1925): 0 where
        classes are all alike, 1 where the class alone decides. NaN for constant channels.

        `moments` are those of the spatial mean over all examples. None where it would say nothing: with one class, or
        when classes have fewer than two examples on average.
        """
        total = sum(self.counts.values())
        if len(self.counts) < 2 or total < 2 * len(self.counts):
            return None
        counts = np.array([self.counts[label] for label in self.labels])
        means = self.means()
        own = (counts[:, None] * means).sum(axis=0) / total
        between = (counts[:, None] * (means - own) ** 2).sum(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            share: Floats = between / moments.m2
        return np.where(moments.m2 > 0, np.clip(share, 0.0, 1.0), np.nan)
