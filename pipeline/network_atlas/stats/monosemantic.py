"""How much a unit responds to one kind of image: the monosemanticity score, which can compare bases of a layer.

The mean likeness of pairs of images, weighted by the unit's activations on both (Pach et al. 2025, arXiv 2504.02821).
From three sums over images it follows for all pairs at once, and sums merge.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairSums:
    """Sums over images, for some units side by side."""

    weighted: Floats
    """Of activation times embedding: (units, depth)."""
    activations: Floats
    """(units,)"""
    squares: Floats
    """Of the activations: (units,)."""

    @classmethod
    def of(cls, activations: Floats, embeddings: Floats) -> PairSums:
        """Return the sums over some images: activations of 0..1, (images, units), and embeddings of unit length."""
        return cls(
            weighted=activations.T @ embeddings,
            activations=activations.sum(axis=0),
            squares=np.square(activations).sum(axis=0),
        )

    def merge(self, other: PairSums) -> PairSums:
        """Return the sums over both; neither side changes."""
        return PairSums(
            weighted=self.weighted + other.weighted,
            activations=self.activations + other.activations,
            squares=self.squares + other.squares,
        )

    @property
    def scores(self) -> Floats:
        """Return each unit's score, (units,), from -1 to 1; NaN for units that no two images excite."""
        pairs = np.square(self.weighted).sum(axis=1) - self.squares
        weights = np.square(self.activations) - self.squares
        with np.errstate(divide="ignore", invalid="ignore"):
            scores: Floats = pairs / weights
        return np.where(weights > 0, scores, np.nan)


def scaled(values: NDArray[np.floating]) -> Floats:
    """Return values, (images, units), from 0 at each unit's smallest to 1 at its largest; 0 for constant units."""
    exact = values.astype(np.float64)
    low, high = exact.min(axis=0), exact.max(axis=0)
    shares: Floats = np.divide(exact - low, high - low, out=np.zeros_like(exact), where=high > low)
    return shares


def random_rotation(channels: int, count: int) -> Floats:
    """Return the first rows of a random rotation, the same every time: (count, channels), orthonormal."""
    drawn = np.random.RandomState(0).standard_normal((channels, channels))
    rotation: Floats = np.linalg.qr(drawn)[0].T[:count]
    return rotation
