"""How much the dataset's classes explain of each channel: sums per class, mergeable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from network_atlas.stats.moments import Moments

Floats = NDArray[np.float64]


@dataclass(slots=True, kw_only=True)
class ClassSums:
    """Per label, how many examples there are, and their spatial means added up."""

    labels: tuple[str, ...]
    """Sorted."""
    counts: NDArray[np.int64]
    """(classes,)"""
    sums: Floats
    """(classes, channels)"""

    @classmethod
    def empty(cls, channels: int, labels: Sequence[str]) -> ClassSums:
        """Return the sums of nothing, for classes with these labels."""
        return cls(labels=tuple(labels), counts=np.zeros(len(labels), np.int64), sums=np.zeros((len(labels), channels)))

    def update(self, values: NDArray[np.float32], classes: NDArray[np.int32]) -> None:
        """Take in values, (examples, channels); `classes` index `labels`, -1 is left out."""
        for class_, example in zip(classes, values, strict=True):
            if class_ >= 0:
                self.counts[class_] += 1
                self.sums[class_] += example

    def seen(self) -> ClassSums:
        """Return the sums of the classes that have an example."""
        there = self.counts > 0
        if there.all():  # the common case, without a copy of many classes' sums
            return self
        labels = tuple(label for label, kept in zip(self.labels, there, strict=True) if kept)
        return ClassSums(labels=labels, counts=self.counts[there], sums=self.sums[there])

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
