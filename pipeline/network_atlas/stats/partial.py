"""What one span of the dataset says about some channels; partials of neighbouring spans merge to that of the whole.

Numbers are per channel, over examples, and of two kinds, kept apart throughout: of the *spatial maximum* (the largest
value of the channel's map on an example) and of the *spatial mean* (the mean of its map). `bottom` alone is by the
spatial minimum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from network_atlas.errors import MergeError
from network_atlas.stats.moments import Moments
from network_atlas.stats.topk import TopClasses, TopK

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Partial:
    """The statistics of the examples `start` to `stop` (exclusive), counted in the order of their ids.

    Arrays have the shape (channels,), histograms (channels, buckets).
    """

    start: int
    stop: int
    positions: Counts
    """Positions of each channel's map."""
    within: NDArray[np.float64]
    """Sum over examples of the squared distances of a map's values from their own mean."""
    minimum: NDArray[np.float32]
    """Smallest value anywhere."""
    maximum: Moments
    """Of the spatial maximum."""
    mean: Moments
    """Of the spatial mean."""
    maximum_histogram: NDArray[np.integer]
    mean_histogram: NDArray[np.integer]
    top: TopK
    """By spatial maximum."""
    bottom: TopK
    """By spatial minimum."""
    top_mean: TopK
    """By spatial mean; positions are those of the spatial maximum, here and in `bottom_mean`."""
    bottom_mean: TopK
    classes: TopClasses
    """By spatial maximum."""

    @property
    def count(self) -> int:
        """Return how many examples could be read."""
        return self.mean.count

    @property
    def variance(self) -> NDArray[np.float64]:
        """Return the variance over all positions of all examples; NaN where there are none."""
        if not self.count:
            return np.full(len(self.within), np.nan)
        spread: NDArray[np.float64] = (self.within + self.positions * self.mean.m2) / (self.positions * self.count)
        return spread

    def merge(self, other: Partial) -> Partial:
        """Return the partial of both spans; raise MergeError unless the other's follows this one's."""
        check_neighbours(self.stop, other.start)
        merged: dict[str, Any] = {
            name: getattr(self, name).merge(getattr(other, name))
            for name in ("maximum", "mean", "top", "bottom", "top_mean", "bottom_mean", "classes")
        }
        return Partial(
            start=self.start,
            stop=other.stop,
            positions=self.positions,
            within=self.within + other.within,
            minimum=np.minimum(self.minimum, other.minimum),
            maximum_histogram=self.maximum_histogram + other.maximum_histogram,
            mean_histogram=self.mean_histogram + other.mean_histogram,
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
