"""How far a channel's values moved: mean, spread, and the whole distribution. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Buckets:
    """A histogram without its empty buckets, from the lowest to the highest: arrays are (buckets,).

    Buckets need not be equally wide, nor those of another histogram; a bucket may have no width at all.
    """

    low: Floats
    high: Floats
    count: Floats


def shift(old: Floats, new: Floats, unit: Floats) -> Floats:
    """Return `new - old` in units of `unit`, all (channels,); NaN where the unit is zero or not known."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(unit > 0, (new - old) / unit, np.nan)


def wasserstein(old: Buckets, new: Buckets) -> float:
    """Return the Wasserstein-1 distance of two histograms, in the unit of their values; NaN where one is empty.

    It is how far values have to move on average: the mean distance of equal quantiles. Within a bucket, values are
    taken to be spread evenly; what moved within a bucket is not seen.
    """
    if not len(old.count) or not len(new.count):
        return float("nan")
    shares = [np.cumsum(side.count) / side.count.sum() for side in (old, new)]
    levels = np.unique(np.concatenate([[0.0], *shares]))
    start, stop = (
        _quantiles(old, shares[0], levels, at) - _quantiles(new, shares[1], levels, at)
        for at in (levels[:-1], levels[1:])
    )
    return float(np.sum(np.diff(levels) * _mean_size(start, stop)))


def _quantiles(side: Buckets, shares: Floats, levels: Floats, at: Floats) -> Floats:
    """Return the quantiles at one end of each interval between `levels`, of the bucket that the interval lies in."""
    bucket = np.searchsorted(shares, (levels[:-1] + levels[1:]) / 2).clip(max=len(shares) - 1)
    before = np.concatenate([[0.0], shares[:-1]])
    within = np.clip((at - before[bucket]) / (shares - before)[bucket], 0.0, 1.0)
    quantiles: Floats = side.low[bucket] + within * (side.high - side.low)[bucket]
    return quantiles


def _mean_size(start: Floats, stop: Floats) -> Floats:
    """Return the mean absolute value of lines from `start` to `stop`."""
    sizes = np.abs(start) + np.abs(stop)
    crossing = start * stop < 0
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(crossing, (start**2 + stop**2) / (2 * sizes), sizes / 2)
