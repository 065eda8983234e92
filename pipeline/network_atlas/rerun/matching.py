"""Which new channel does an old one's work, and whether a channel's number still means anything. Pure.

matching = match(correlations(old, new), chance=chance_correlation(old, new))
matching.partners[3], matching.correlations[3], matching.moved[3]
identity_of(matching)                                        # 'kept', 'partly', 'lost' or 'unknown'
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from network_atlas.rerun.alignment import correlations as correlate

Floats = NDArray[np.float64]
ALIKE_FROM = 0.5
"""Correlation from which two channels count as doing the same work: a quarter of the variance is shared."""
MARGIN = 0.1
"""By how much a partner must correlate more than the channel of the same number to say that a channel moved: between
near-duplicates, the assignment is decided by noise."""
CHANCE_PERCENTILE = 99.0
SHUFFLES = 999
SIGNIFICANT = 0.01
FEWEST_CHANNELS = 5
"""With fewer channels, there are too few ways to shuffle them to tell."""
KEPT_FROM = 0.5
"""Share of the channels that must still do the same work for a layer's numbers to be called kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matching:
    """The channels of an old layer and the new ones that they were assigned to; arrays are (old channels,)."""

    partners: NDArray[np.int64]
    """The new channel, one for each: -1 for channels that are constant, or have none left."""
    correlations: Floats
    """With the partner; NaN without one."""
    at_index: Floats
    """With the new channel of the same number; NaN without one, or if one of them is constant."""
    chance: float
    """The correlation that the best of all new channels reaches by chance."""
    p_value: float | None
    """Share of random pairings of channels whose mean correlation is as large as that of equal numbers. None if there
    are too few channels."""
    random_mean: float
    """The mean correlation of random pairs; NaN without any."""

    @property
    def alike(self) -> NDArray[np.bool_]:
        """Say of each channel whether its partner does the same work, and not by chance."""
        alike: NDArray[np.bool_] = np.nan_to_num(self.correlations, nan=-1.0) >= max(ALIKE_FROM, self.chance)
        return alike

    @property
    def moved(self) -> NDArray[np.bool_]:
        """Say of each channel whether another new one does its work, better than that of the same number."""
        elsewhere = self.partners != np.arange(len(self.partners))
        gain = self.correlations - np.nan_to_num(self.at_index, nan=0.0)
        moved: NDArray[np.bool_] = elsewhere & self.alike & (np.nan_to_num(gain, nan=0.0) >= MARGIN)
        return moved


def match(between: Floats, *, chance: float) -> Matching:
    """Assign each old channel a new one so that the sum of their correlations, (old, new), is largest."""
    old, new = (np.flatnonzero(~np.isnan(between).all(axis=axis)) for axis in (1, 0))
    live = between[np.ix_(old, new)]
    rows, columns = linear_sum_assignment(live, maximize=True)
    partners, values = np.full(len(between), -1), np.full(len(between), np.nan)
    partners[old[rows]], values[old[rows]] = new[columns], live[rows, columns]
    at_index = np.full(len(between), np.nan)
    both = min(between.shape)
    at_index[:both] = np.diagonal(between)
    p_value, random_mean = index_test(between)
    return Matching(
        partners=partners,
        correlations=values,
        at_index=at_index,
        chance=chance,
        p_value=p_value,
        random_mean=random_mean,
    )


def chance_correlation(old: NDArray[np.floating], new: NDArray[np.floating]) -> float:
    """Return the correlation that a channel's best partner reaches by chance, from activations (images, channels).

    The images of the new side are shuffled, and the best partner of each old channel looked for: its correlation
    is below the result for 99 in 100 channels. Large where images are few and channels are many.
    """
    shuffled = np.random.default_rng(0).permutation(len(new))
    best = np.nanmax(np.nan_to_num(correlate(old, new[shuffled]), nan=-1.0), axis=1, initial=-1.0)
    return float(np.percentile(best, CHANCE_PERCENTILE)) if len(best) else 0.0


def index_test(between: Floats) -> tuple[float | None, float]:
    """Test whether channels of the same number correlate more than random pairs: (p value, mean of random pairs).

    A permutation test: the new channels are renumbered at random 999 times. None with fewer than five channels that
    vary.
    """
    both = min(between.shape)
    square = between[:both, :both]
    live = np.flatnonzero(~np.isnan(np.diagonal(square)))
    square = square[np.ix_(live, live)]
    if len(live) < FEWEST_CHANNELS:
        return None, float(square.mean()) if square.size else float("nan")
    generator = np.random.default_rng(0)
    observed, rows = float(np.diagonal(square).mean()), np.arange(len(live))
    reached = sum(float(square[rows, generator.permutation(len(live))].mean()) >= observed for _ in range(SHUFFLES))
    return (1 + reached) / (1 + SHUFFLES), float(square.mean())


def identity_of(matching: Matching) -> str:
    """Say what a layer's channel numbers still mean.

    'lost': channels of the same number are no more alike than random pairs (p above .01). 'kept': they are, and at
    least half do the same work (correlation from .5). 'partly': they are, but fewer do. 'unknown': too few channels.
    """
    if matching.p_value is None:
        return "unknown"
    if matching.p_value > SIGNIFICANT:
        return "lost"
    known = matching.at_index[~np.isnan(matching.at_index)]
    return "kept" if np.mean(known >= ALIKE_FROM) >= KEPT_FROM else "partly"
