"""Moments of many channels at once, in float64, mergeable: mean, variance, skewness, extremes, how often above zero.

Merging follows Chan, Golub and LeVeque (1979) and, for the third moment, Pébay (2008): no large sums of powers cancel.
Merging is associative up to rounding; callers that need the same bits every time merge in a fixed order
(`network_atlas.stats.tree` does).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from network_atlas.stats import kernels

Floats = NDArray[np.float64]


@dataclass(slots=True, kw_only=True)
class Moments:
    """Per channel, arrays of shape (channels,), over `count` values. `update` changes them in place.

    `m2` and `m3` are sums of squared and cubed distances from the mean; `active` counts the values above zero.
    """

    count: int
    mean: Floats
    m2: Floats
    m3: Floats
    minimum: Floats
    maximum: Floats
    active: NDArray[np.int64]

    @classmethod
    def empty(cls, channels: int) -> Moments:
        """Return the moments of nothing: the neutral element of `merge`."""
        return cls(
            count=0,
            mean=np.zeros(channels),
            m2=np.zeros(channels),
            m3=np.zeros(channels),
            minimum=np.full(channels, np.inf),
            maximum=np.full(channels, -np.inf),
            active=np.zeros(channels, np.int64),
        )

    def update(self, values: NDArray[np.float32]) -> None:
        """Take in values, (examples, channels), one example after the other: the same bits whatever the batch."""
        arrays = (self.mean, self.m2, self.m3, self.minimum, self.maximum)
        kernels.add_moments(values, self.count, arrays, self.active)
        self.count += len(values)

    def merge(self, other: Moments) -> Moments:
        """Return the moments of both sets of values together."""
        mine, theirs = self.count, other.count
        if not mine or not theirs:
            return self if mine else other
        count = mine + theirs
        delta = other.mean - self.mean
        cubes = delta**3 * (mine * theirs * (mine - theirs) / count**2)
        cross = 3 * delta * (mine * other.m2 - theirs * self.m2) / count
        return Moments(
            count=count,
            mean=self.mean + delta * (theirs / count),
            m2=self.m2 + other.m2 + delta**2 * (mine * theirs / count),
            m3=self.m3 + other.m3 + cubes + cross,
            minimum=np.minimum(self.minimum, other.minimum),
            maximum=np.maximum(self.maximum, other.maximum),
            active=self.active + other.active,
        )

    @property
    def variance(self) -> Floats:
        """Return the population variance, NaN where there are no values."""
        return self.m2 / self.count if self.count else np.full_like(self.m2, np.nan)

    @property
    def skewness(self) -> Floats:
        """Return the third standardized moment, NaN for constant channels."""
        with np.errstate(divide="ignore", invalid="ignore"):
            skewness: Floats = np.sqrt(self.count) * self.m3 / self.m2**1.5
        skewness[~np.isfinite(skewness)] = np.nan
        return skewness
