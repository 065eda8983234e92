"""Sums of each class: how much of a channel the dataset's classes explain, and what names it, follow from them.

The share of variance between classes is of spatial means, as for Morcos et al. (2018, arXiv 1803.06959), whose
selectivity is of mean activations. Names are by spatial maxima, as the examples that are shown beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from network_atlas.stats.moments import Moments

Floats = NDArray[np.float64]


@dataclass(slots=True, kw_only=True)
class ClassSums:
    """The number of examples of each label, and the sums of their values, for some layers side by side."""

    labels: tuple[str, ...]
    """Sorted."""
    sizes: tuple[int, ...]
    """The number of channels of each layer."""
    counts: NDArray[np.int64]
    """(classes, layers): layers leave out different examples where values are not finite."""
    sums: Floats
    """Of spatial means: (classes, channels)."""
    maximum_sums: Floats
    """Of spatial maxima: (classes, channels)."""

    @classmethod
    def empty(cls, sizes: Sequence[int], *, labels: tuple[str, ...]) -> ClassSums:
        """Return the sums of no examples, for sorted labels and layers with `sizes` channels."""
        sums, maximum_sums = np.zeros((2, len(labels), sum(sizes)))
        counts = np.zeros((len(labels), len(sizes)), np.int64)
        return cls(labels=labels, sizes=tuple(sizes), counts=counts, sums=sums, maximum_sums=maximum_sums)

    def update(self, means: NDArray[np.float32], maxima: NDArray[np.float32], classes: NDArray[np.int32]) -> None:
        """Take in the spatial means and maxima of some examples, (examples, channels).

        `classes`, (examples,), index `labels`; -1 is none. Layers whose values on an example are NaN leave it out.
        """
        firsts = np.cumsum([0, *self.sizes[:-1]])
        for mean, maximum, label in zip(means, maxima, classes, strict=True):  # the same bits whatever the batch
            if label >= 0:
                is_there = ~np.isnan(mean[firsts])
                self.counts[label] += is_there
                self.sums[label] += _or_zero(mean, is_there)
                self.maximum_sums[label] += _or_zero(maximum, is_there)

    def merge(self, other: ClassSums) -> ClassSums:
        """Return the sums over both; neither side changes."""
        labels = tuple(sorted({*self.labels, *other.labels}))
        indices = {label: index for index, label in enumerate(labels)}
        merged = ClassSums.empty(self.sizes, labels=labels)
        for part in (self, other):
            rows = [indices[label] for label in part.labels]
            merged.counts[rows] += part.counts
            merged.sums[rows] += part.sums
            merged.maximum_sums[rows] += part.maximum_sums
        return merged

    @property
    def present(self) -> ClassSums:
        """Return the sums of those classes that have an example."""
        there = np.flatnonzero(self.counts.sum(axis=1))
        if len(there) == len(self.labels):
            return self  # without a copy: the sums of all channels are large
        labels = tuple(self.labels[label] for label in there)
        of_there = {name: getattr(self, name)[there] for name in ("counts", "sums", "maximum_sums")}
        return replace(self, labels=labels, **of_there)

    @property
    def means(self) -> Floats:
        """Return the mean spatial mean of each class, (classes, channels); NaN where a layer has no example of it."""
        with np.errstate(invalid="ignore"):
            means: Floats = self.sums / self._counts_of_channels
        return means

    @property
    def _counts_of_channels(self) -> NDArray[np.int64]:
        return np.repeat(self.counts, self.sizes, axis=1)

    def selectivity(self, moments: Moments, size: Floats | float = 0.0) -> Floats | None:
        """Return the share of each channel's variance between classes, (channels,): eta squared (Fisher 1925).

        It is 0 where all classes are alike, 1 where the class alone decides, and NaN for constant channels. `moments`
        are those of the spatial mean over all examples, `size` is that of the values it is a mean of. None where the
        share would mean nothing: with one class, or with fewer than two examples a class on average.
        """
        if len(self.labels) < 2 or int(self.counts.sum(axis=0).min()) < 2 * len(self.labels):
            return None
        counts, means = self._counts_of_channels, self.means
        overall = self.sums.sum(axis=0) / counts.sum(axis=0)
        between = (counts * (means - overall) ** 2).sum(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            share: Floats = between / moments.m2
        return np.where(moments.is_constant(size), np.nan, np.clip(share, 0.0, 1.0))


def _or_zero(row: NDArray[np.float32], is_there: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return a row of values, (channels,), with 0 for NaN; `is_there` says of each layer whether it has none."""
    return row if is_there.all() else np.where(np.isnan(row), np.float32(0), row)
