"""Count, mean, variance, minimum and maximum of many channels at once, in float64, mergeable.

Merging follows Chan, Golub and LeVeque (1979): no large sums of squares cancel. Merging is associative up to
rounding; callers that need the same bits every time merge in a fixed order (`pipeline.stats.merge` does).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Per channel, shape (channels,): `m2` is the sum of squared distances from the mean over `values` values."""

    values: int
    mean: Floats
    m2: Floats
    minimum: Floats
    maximum: Floats

    @classmethod
    def empty(cls, channels: int) -> Moments:
        """Return the moments of nothing: the neutral element of `merge`."""
        zeros = np.zeros(channels)
        return cls(
            values=0, mean=zeros, m2=zeros, minimum=np.full(channels, np.inf), maximum=np.full(channels, -np.inf)
        )

    def merge(self, other: Moments) -> Moments:
        """Return the moments of both sets of values together."""
        values = self.values + other.values
        if values == 0:
            return self
        delta = other.mean - self.mean
        share = other.values / values
        return Moments(
            values=values,
            mean=self.mean + delta * share,
            m2=self.m2 + other.m2 + delta**2 * self.values * share,
            minimum=np.minimum(self.minimum, other.minimum),
            maximum=np.maximum(self.maximum, other.maximum),
        )

    @property
    def variance(self) -> Floats:
        """Return the population variance, NaN where there are no values."""
        return self.m2 / self.values if self.values else np.full_like(self.m2, np.nan)


def merge_all(parts: Iterable[Moments]) -> Moments:
    """Return the moments of all parts, merged from first to last."""
    return reduce(Moments.merge, parts)
