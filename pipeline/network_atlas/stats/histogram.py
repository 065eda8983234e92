"""Histograms with the same edges for every channel of every network: they merge by addition, exactly.

Buckets are logarithmic on both sides of zero, four to an octave from 2^-20 to 2^20, so a value is known to a fifth of
itself, whatever the scale of a layer. What is nearer to zero has a bucket of its own; what is farther is in the last.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from network_atlas.stats import kernels

OCTAVES = 20
PER_OCTAVE = 4
SIDE = 2 * OCTAVES * PER_OCTAVE
"""Buckets on each side of zero."""
BUCKETS = 2 * SIDE + 1
MANTISSA_BITS = 23
FIRST = (127 - OCTAVES) * PER_OCTAVE
"""The top ten bits below the sign (exponent, two bits of the mantissa) of the smallest value that is not in zero's
bucket, as IEEE 754 has it."""
SHIFT = MANTISSA_BITS - 2


def bucket_of(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the bucket of each value, 0 to BUCKETS - 1 from the lowest to the highest; zero's is SIDE."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    size = np.clip(((bits & 0x7FFFFFFF) >> SHIFT).astype(np.int64) - FIRST + 1, 0, SIDE)
    return np.where(bits >> 31, SIDE - size, SIDE + size)


def edges() -> NDArray[np.float64]:
    """Return the BUCKETS + 1 edges, the outermost infinite."""
    steps = np.arange(SIDE)
    outer = 2.0 ** (steps // PER_OCTAVE - OCTAVES) * (1 + (steps % PER_OCTAVE) / PER_OCTAVE)
    return np.concatenate([[-np.inf], -outer[:0:-1], [-outer[0], outer[0]], outer[1:], [np.inf]])


@dataclass(slots=True, kw_only=True)
class Histogram:
    """Per channel, how many values lie in each bucket."""

    counts: NDArray[np.integer]
    """(channels, buckets)"""

    @classmethod
    def empty(cls, channels: int) -> Histogram:
        """Return the histogram of nothing."""
        return cls(counts=np.zeros((channels, BUCKETS), np.uint32))

    def update(self, values: NDArray[np.float32]) -> None:
        """Count values, (examples, channels)."""
        kernels.add_histogram(values.view(np.uint32), self.counts, FIRST, SHIFT, SIDE)

    def merge(self, other: Histogram) -> Histogram:
        """Return the histogram of both."""
        return Histogram(counts=self.counts + other.counts)

    def result(self, channel: int, low: float, high: float) -> list[dict[str, float | int]]:
        """Return a channel's buckets that hold something, with their edges; the outermost end at its extremes."""
        counts, limits = self.counts[channel], edges()
        return [
            {
                "low": float(max(limits[bucket], low)),
                "high": float(min(limits[bucket + 1], high)),
                "count": int(counts[bucket]),
            }
            for bucket in np.flatnonzero(counts)
        ]
