"""Histograms with the same edges for every channel of every network: they merge by addition, exactly.

Buckets are logarithmic on both sides of zero, four to an octave from 2^-20 to 2^20. So a value is known to a fifth of
itself, whatever the scale of a layer. Values nearer to zero share one bucket; larger values are in the last bucket.
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
    """Return buckets in the shape of `values`: 0 to BUCKETS - 1 from the lowest to the highest; zero's is SIDE."""
    # From the bits, not by a logarithm: that rounds differently on other processors, and values at an edge would move.
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    size = np.clip(((bits & 0x7FFFFFFF) >> SHIFT).astype(np.int64) - FIRST + 1, 0, SIDE)
    return np.where(bits >> 31, SIDE - size, SIDE + size)


def edges() -> NDArray[np.float64]:
    """Return the edges, (BUCKETS + 1,), the outermost infinite."""
    steps = np.arange(SIDE)
    # Four equal steps within an octave, as the first two bits of the mantissa count: not equal ratios.
    outer = 2.0 ** (steps // PER_OCTAVE - OCTAVES) * (1 + (steps % PER_OCTAVE) / PER_OCTAVE)
    return np.concatenate([[-np.inf], -outer[:0:-1], [-outer[0], outer[0]], outer[1:], [np.inf]])


@dataclass(slots=True, kw_only=True)
class Histogram:
    """How many values of each channel lie in each bucket: `counts` is (channels, buckets)."""

    counts: NDArray[np.integer]

    @classmethod
    def empty(cls, channels: int) -> Histogram:
        """Return the histograms of no values."""
        return cls(counts=np.zeros((channels, BUCKETS), np.uint32))  # half the memory of int64, for one span is enough

    def update(self, values: NDArray[np.float32]) -> None:
        """Count the values of some examples, (examples, channels)."""
        kernels.add_histogram(values.view(np.uint32), self.counts, FIRST, SHIFT, SIDE)

    def merge(self, other: Histogram) -> Histogram:
        """Return the histograms of both sets of values together; neither side changes."""
        return Histogram(counts=self.counts + other.counts)

    def entries(self, channel: int, low: float, high: float) -> list[dict[str, float | int]]:
        """Return a channel's buckets that are not empty, with their edges; the outermost end at its extremes."""
        limits, counts = edges(), self.counts[channel]
        return [
            {
                "low": float(max(limits[bucket], low)),
                "high": float(min(limits[bucket + 1], high)),
                "count": int(counts[bucket]),
            }
            for bucket in np.flatnonzero(counts)
        ]
