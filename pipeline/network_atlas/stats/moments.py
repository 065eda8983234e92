"""Moments of many channels at once, in float64: mean, variance, skewness, extremes, how often above zero.

Merging follows Chan, Golub and LeVeque (1979) and, for the third moment, Pébay (2008): no large sums of powers cancel.
Merging is associative up to rounding; callers that need the same bits every time merge in a fixed order
(`network_atlas.stats.tree` does).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from network_atlas.stats import kernels
from network_atlas.stats.constant import is_constant

Floats = NDArray[np.float64]


@dataclass(slots=True, kw_only=True)
class Moments:
    """The moments of the values of each channel; arrays are (channels,).

    `m2` and `m3` are sums of squared and cubed distances from the mean; `active` counts the values above zero. Values
    that are not numbers are left out, so that `count` may differ from channel to channel.
    """

    count: NDArray[np.int64]
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
            count=np.zeros(channels, np.int64),
            mean=np.zeros(channels),
            m2=np.zeros(channels),
            m3=np.zeros(channels),
            minimum=np.full(channels, np.inf),
            maximum=np.full(channels, -np.inf),
            active=np.zeros(channels, np.int64),
        )

    def update(self, values: NDArray[np.float32]) -> None:
        """Take in the values of some examples, (examples, channels), one example after the other."""
        count = self.count.astype(np.float64)
        kernels.add_moments(values, (count, self.mean, self.m2, self.m3), (self.minimum, self.maximum), self.active)
        self.count = count.astype(np.int64)

    def merge(self, other: Moments) -> Moments:
        """Return the moments of both sets of values together; neither side changes."""
        mine, theirs = self.count.astype(np.float64), other.count.astype(np.float64)  # their products overflow integers
        count = np.maximum(mine + theirs, 1.0)
        # A side without values has the mean 0 and the weight 0: the result is the other side's, exactly.
        delta = other.mean - self.mean
        cubes = delta**3 * (mine * theirs * (mine - theirs) / count**2)
        cross = 3 * delta * (mine * other.m2 - theirs * self.m2) / count
        return Moments(
            count=self.count + other.count,
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
        with np.errstate(invalid="ignore"):
            variance: Floats = self.m2 / self.count
        return variance

    @property
    def skewness(self) -> Floats:
        """Return the third standardized moment, NaN for channels that are constant but for rounding."""
        with np.errstate(divide="ignore", invalid="ignore"):
            # Of a constant channel m2 is rounding alone, and the quotient of two roundings may be of any size.
            skewness: Floats = np.sqrt(self.count) * self.m3 / self.m2**1.5
        return np.where(self.is_constant(), np.nan, skewness)

    def is_constant(self, size: Floats | float = 0.0) -> NDArray[np.bool_]:
        """Say of each channel whether its values differ by no more than they are rounded; see `is_constant`."""
        return np.asarray(is_constant(self.minimum, self.maximum, size))
