"""Statistics of some channels over one span of the dataset; partials of neighbouring spans merge to that of the whole.

All numbers are per channel, over examples, and of two kinds, which are kept apart throughout: of the *spatial maximum*
(the largest value of the channel's map on an example) and of the *spatial mean* (the mean of its map). Only `bottom` is
by the spatial minimum.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from network_atlas.config.schema import ScanConfig
from network_atlas.errors import MergeError
from network_atlas.layers import LayerSpec
from network_atlas.stats.histogram import Histogram
from network_atlas.stats.moments import Moments
from network_atlas.stats.reduced import Reduced
from network_atlas.stats.topk import TopClasses, TopK

Counts = NDArray[np.int64]

MERGED = (
    "spatial_maximum",
    "spatial_mean",
    "spatial_maximum_histogram",
    "spatial_mean_histogram",
    "top",
    "bottom",
    "top_mean",
    "bottom_mean",
    "classes",
)
"""The statistics that merge by themselves."""


@dataclass(slots=True, kw_only=True)
class Partial:
    """The statistics of the examples `start` to `stop` (exclusive), counted in the order of their ids.

    Arrays are (channels,).
    """

    start: int
    stop: int
    positions: Counts
    """The number of positions of each channel's map."""
    non_finite: Counts
    """The number of examples that are left out, as the layer's values on them are not all finite."""
    within: NDArray[np.float64]
    """The sum over examples of the squared distances of a map's values from their own mean."""
    minimum: NDArray[np.float32]
    """The smallest value anywhere."""
    spatial_maximum: Moments
    spatial_mean: Moments
    spatial_maximum_histogram: Histogram
    spatial_mean_histogram: Histogram
    top: TopK
    """By spatial maximum."""
    bottom: TopK
    """By spatial minimum."""
    top_mean: TopK
    """By spatial mean; positions are those of the spatial maximum, here and in `bottom_mean`."""
    bottom_mean: TopK
    classes: TopClasses
    """By spatial maximum."""

    @classmethod
    def empty(
        cls, layers: Sequence[LayerSpec], config: ScanConfig, *, start: int, stop: int, labels: tuple[str, ...]
    ) -> Partial:
        """Return the statistics of no examples, for a span and the channels of `layers`, layer after layer."""
        sizes = [layer.channels for layer in layers]
        channels = sum(sizes)
        positions = np.array([layer.positions[0] * layer.positions[1] for layer in layers], np.int64)
        return cls(
            start=start,
            stop=stop,
            positions=np.repeat(positions, sizes),
            non_finite=np.zeros(channels, np.int64),
            within=np.zeros(channels),
            minimum=np.full(channels, np.inf, np.float32),
            spatial_maximum=Moments.empty(channels),
            spatial_mean=Moments.empty(channels),
            spatial_maximum_histogram=Histogram.empty(channels),
            spatial_mean_histogram=Histogram.empty(channels),
            top=TopK.empty(channels, config.top_k),
            bottom=TopK.empty(channels, config.bottom_k, sign=-1),
            top_mean=TopK.empty(channels, config.spectrum_k),
            bottom_mean=TopK.empty(channels, config.spectrum_k, sign=-1),
            classes=TopClasses.empty(channels, config.class_k, labels=labels),
        )

    def update(self, reduced: Reduced, numbers: NDArray[np.int64], classes: NDArray[np.int32]) -> None:
        """Take in some examples, in the order of their `numbers`, (examples,). Numbers that are NaN are left out.

        `classes`, (examples,), index the labels that the partial was made for; -1 is none.
        """
        for work in self.updates(reduced, numbers, classes):
            work()

    def updates(
        self, reduced: Reduced, numbers: NDArray[np.int64], classes: NDArray[np.int32]
    ) -> list[Callable[[], None]]:
        """Return what `update` does, in pieces that touch nothing in common: they may be done in any order."""
        maximum, maximum_at, mean = reduced.spatial_maximum, reduced.spatial_maximum_at, reduced.spatial_mean
        return [  # the longest first, so that threads end together
            partial(self.top_mean.update, mean, maximum_at, numbers),
            partial(self.bottom_mean.update, mean, maximum_at, numbers),
            partial(self.top.update, maximum, maximum_at, numbers),
            partial(self.bottom.update, reduced.spatial_minimum, reduced.spatial_minimum_at, numbers),
            partial(self.classes.update, maximum, maximum_at, numbers, classes),
            partial(self.spatial_maximum_histogram.update, maximum),
            partial(self.spatial_mean_histogram.update, mean),
            partial(self.spatial_maximum.update, maximum),
            partial(self.spatial_mean.update, mean),
            partial(self._add_spread, reduced),
        ]

    def _add_spread(self, reduced: Reduced) -> None:
        """Take in what is kept of the maps' inside: the spread, the smallest value, whether all was finite."""
        for row in reduced.within:  # one by one: the same bits whatever the batch
            self.within += row
        self.minimum = np.fmin(self.minimum, np.fmin.reduce(reduced.spatial_minimum, axis=0))
        self.non_finite += np.isnan(reduced.spatial_mean).sum(axis=0)

    @property
    def count(self) -> Counts:
        """Return the number of examples behind the statistics: those that could be read and are finite."""
        return self.spatial_mean.count

    @property
    def variance(self) -> NDArray[np.float64]:
        """Return the variance over all positions of all examples; NaN where there are none."""
        with np.errstate(invalid="ignore"):
            squares = self.within + self.positions * self.spatial_mean.m2
            variance: NDArray[np.float64] = squares / (self.positions * self.count)
        return variance

    def merge(self, other: Partial) -> Partial:
        """Return the partial of both spans; raise MergeError unless the other's follows this one's."""
        check_neighbours(self.stop, other.start)
        return Partial(
            start=self.start,
            stop=other.stop,
            positions=self.positions,
            non_finite=self.non_finite + other.non_finite,
            within=self.within + other.within,
            minimum=np.minimum(self.minimum, other.minimum),
            **{name: getattr(self, name).merge(getattr(other, name)) for name in MERGED},
        )


def check_neighbours(stop: int, start: int) -> None:
    """Raise MergeError unless a span that starts at `start` follows one that ends at `stop`, without gap or overlap."""
    if start > stop:
        raise MergeError(f"no partial covers the examples {stop}..{start}; run the scan again")
    if start < stop:
        raise MergeError(f"two partials cover the examples {start}..{stop}; keep only one of them")


def check_cover(spans: list[tuple[int, int]], examples: int) -> None:
    """Raise MergeError unless the sorted `spans` cover 0..`examples` without gap or overlap."""
    expected = 0
    for start, stop in spans:
        check_neighbours(expected, start)
        expected = stop
    if expected != examples:
        raise MergeError(f"the partials cover {expected} examples, the dataset has {examples}; run the scan again")
