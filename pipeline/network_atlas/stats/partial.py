"""What one span of the dataset says about some channels; partials of neighbouring spans merge to that of the whole.

Numbers are per channel, over examples, and of two kinds, kept apart throughout: of the *spatial maximum* (the largest
value of the channel's map on an example) and of the *spatial mean* (the mean of its map). `bottom` alone is by the
spatial minimum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from network_atlas.config.schema import ScanConfig
from network_atlas.errors import MergeError
from network_atlas.stats.histogram import Histogram
from network_atlas.stats.moments import Moments
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
"""Fields of a partial that merge by themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageValues:
    """What is kept of some images: arrays of shape (examples, channels). Positions are flat, row by row in the map."""

    spatial_maximum: NDArray[np.float32]
    spatial_maximum_at: NDArray[np.int32]
    spatial_minimum: NDArray[np.float32]
    spatial_minimum_at: NDArray[np.int32]
    spatial_mean: NDArray[np.float32]
    within: NDArray[np.float64]
    """Sum of the squared distances of a map's values from their own mean."""


@dataclass(slots=True, kw_only=True)
class Partial:
    """The statistics of the examples `start` to `stop` (exclusive), counted in the order of their ids.

    Arrays have the shape (channels,). `update` changes everything in place.
    """

    start: int
    stop: int
    positions: Counts
    """Positions of each channel's map."""
    within: NDArray[np.float64]
    """Sum over examples of the squared distances of a map's values from their own mean."""
    minimum: NDArray[np.float32]
    """Smallest value anywhere."""
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
    def empty(cls, start: int, stop: int, positions: Counts, *, config: ScanConfig, labels: Sequence[str]) -> Partial:
        """Return the statistics of a span before its first example; `positions` has one number per channel."""
        channels = len(positions)
        return cls(
            start=start,
            stop=stop,
            positions=positions,
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
            classes=TopClasses.empty(channels, config.class_k, labels),
        )

    def update(self, values: ImageValues, numbers: NDArray[np.int64], classes: NDArray[np.int32]) -> None:
        """Take in examples with these numbers, which rise from call to call, and classes (-1: none is known)."""
        maximum, maximum_at = values.spatial_maximum, values.spatial_maximum_at
        self.spatial_maximum.update(maximum)
        self.spatial_mean.update(values.spatial_mean)
        self.spatial_maximum_histogram.update(maximum)
        self.spatial_mean_histogram.update(values.spatial_mean)
        self.top.update(maximum, maximum_at, numbers)
        self.bottom.update(values.spatial_minimum, values.spatial_minimum_at, numbers)
        self.top_mean.update(values.spatial_mean, maximum_at, numbers)
        self.bottom_mean.update(values.spatial_mean, maximum_at, numbers)
        self.classes.update(maximum, maximum_at, numbers, classes)
        for row in values.within:  # one after the other: the same bits whatever the batch
            self.within += row
        self.minimum = np.minimum(self.minimum, values.spatial_minimum.min(axis=0))

    @property
    def count(self) -> int:
        """Return how many examples could be read."""
        return self.spatial_mean.count

    @property
    def variance(self) -> NDArray[np.float64]:
        """Return the variance over all positions of all examples; NaN where there are none."""
        if not self.count:
            return np.full(len(self.within), np.nan)
        spread: NDArray[np.float64] = (self.within + self.positions * self.spatial_mean.m2) / (
            self.positions * self.count
        )
        return spread

    def merge(self, other: Partial) -> Partial:
        """Return the partial of both spans; raise MergeError unless the other's follows this one's."""
        check_neighbours(self.stop, other.start)
        merged: dict[str, Any] = {name: getattr(self, name).merge(getattr(other, name)) for name in MERGED}
        return Partial(
            start=self.start,
            stop=other.stop,
            positions=self.positions,
            within=self.within + other.within,
            minimum=np.minimum(self.minimum, other.minimum),
            **merged,
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
