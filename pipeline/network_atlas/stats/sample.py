"""The fixed sample of examples whose values are all kept: how they are chosen, and statistics of their values.

The sample is the same for every channel, layer and worker: the examples whose ids have the smallest hashes.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from network_atlas.stats.constant import is_constant, standardized

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
NOISE_SHARE = 0.01
"""A layer's noise floor, as a share of the 99th percentile of all its channels' absolute spatial maxima."""
DUPLICATES_FROM = 0.98
"""Channels whose spatial means correlate at least this much over the sample are called near-duplicates."""
ZERO_SHARE = 0.01
"""The part of a side's range, next to zero, that counts as zero. Behind a ReLU most values are zero or nearly so: the
median of all above zero would be one of these, and its pictures would show nothing that the channel responds to."""
DECIMALS = 9
"""Of correlations and cosines; see `Sample.correlations`."""

LARGEST = "f" * 16
"""The largest hash of an example."""
STEP_BITS = 32
STEPS = tuple(int(2 ** (number / 4) * 2**STEP_BITS) for number in range(4))
"""The four steps of a doubling, as whole numbers: the same on every machine."""

Floats = NDArray[np.float32]


def sample_hash(example_id: str) -> str:
    """Return the hash that decides whether an example belongs to the sample."""
    return digest(example_id).hex()[:16]


def digest(example_id: str, purpose: str = "sample") -> bytes:
    """Return the SHA-256 by which a choice among examples is made: choices for other purposes are independent.

    They are so of what `dataset.limit` chooses, too, which hashes the id alone.
    """
    return hashlib.sha256(f"{purpose}\0{example_id}".encode("utf-8", "surrogateescape")).digest()


def sample_limit(example_ids: Sequence[str], size: int) -> str:
    """Return the largest hash in a sample of at least `size` examples: those with a hash up to it belong.

    Rounded up to one of four steps in each doubling, so that up to a fifth more belong. The limit is a part of a scan's
    key: an exact one would change with nearly every new example, and a grown dataset would be scanned anew.
    """
    hashes = sorted(sample_hash(example_id) for example_id in example_ids)
    if len(hashes) <= size:
        return LARGEST if hashes else ""
    exact = int(hashes[size - 1], 16)
    shifts = range(max(0, exact.bit_length() - 1), exact.bit_length() + 1)
    steps = (step << shift >> STEP_BITS for shift in shifts for step in STEPS)
    return f"{min(step for step in steps if step >= exact):016x}" if exact <= STEPS[-1] << 63 >> STEP_BITS else LARGEST


def position_of(example_id: str, rows: int, columns: int) -> tuple[int, int]:
    """Return the position (row, column) at which an example's activation vector is kept.

    It is drawn by hash, and lies at the same place of the image in all layers. It is not at an edge, where padding has
    an influence (Carter et al. 2019), unless the map has nothing else.
    """
    row, column = positions_of([example_id], rows, columns)[0].tolist()
    return row, column


def positions_of(example_ids: Sequence[str], rows: int, columns: int) -> NDArray[np.int32]:
    """Return `position_of` for many examples: (examples, 2)."""
    shares = np.array([_shares(example_id) for example_id in example_ids]).reshape(-1, 2)
    lengths = np.array([rows, columns])
    edges = (lengths > 2).astype(np.int64)
    inner = lengths - 2 * edges
    # The minimum is needed: a share just below 1 rounds to 1 as a float.
    return (edges + np.minimum((shares * inner).astype(np.int64), inner - 1)).astype(np.int32)


@lru_cache(maxsize=8192)
def _shares(example_id: str) -> tuple[float, float]:
    """Return the position of an example as shares of height and width; cached, as every layer asks for it."""
    bits = digest(example_id)
    # Not the first eight bytes: they are small in all sampled examples, since they decide who is sampled.
    return int.from_bytes(bits[8:16], "big") / 2**64, int.from_bytes(bits[16:24], "big") / 2**64


def are_comparable(values: Floats, *, size: float = 0.0) -> bool:
    """Say whether `values`, (examples,), are there and differ by more than rounding.

    `size` is that of the numbers that they were computed from: means of values around 1 that are all zero differ by
    the rounding of 1.
    """
    return len(values) > 0 and not is_constant(float(values.min()), float(values.max()), size)


def percentile_of(score: float, values: Floats) -> float | None:
    """Return the percentage, 0 to 100, of finite `values`, (examples,), below `score`; None when there are none."""
    finite = values[np.isfinite(values)]
    if not len(finite) or not np.isfinite(score):
        return None
    return float(100.0 * np.count_nonzero(finite < score) / len(finite))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The sampled examples of one layer, in the order of their ids; arrays are (examples, channels)."""

    ids: tuple[str, ...]
    spatial_mean: Floats
    spatial_maximum: Floats
    spatial_maximum_at: NDArray[np.int32]
    """Flat positions of the spatial maxima in the layer's map."""
    centre: Floats
    """The values at the layer's centre position."""

    def noise_floor(self) -> float:
        """Return the size of a spatial maximum below which it counts as noise in this layer."""
        sizes = np.abs(self.spatial_maximum[np.isfinite(self.spatial_maximum)])
        return NOISE_SHARE * float(np.percentile(sizes, 99)) if len(sizes) else 0.0

    @property
    def sizes(self) -> NDArray[np.float64]:
        """Return the size of the values that each channel's spatial means were computed from, (channels,)."""
        there = np.where(np.isfinite(self.spatial_maximum), self.spatial_maximum, 0.0)
        sizes: NDArray[np.float64] = np.abs(there).max(axis=0, initial=0.0).astype(np.float64)
        return sizes

    def correlations(self) -> NDArray[np.float64]:
        """Return the correlation of all channels' spatial means, (channels, channels); NaN for constant channels.

        Rounded to `DECIMALS`: further digits differ between kinds of processors, which round matrix products in their
        own ways.
        """
        # The same examples for all pairs, or the matrix would not be one of correlations.
        values = self.spatial_mean[np.isfinite(self.spatial_mean).all(axis=1)]
        if len(values) < 2:
            return np.full((self.spatial_mean.shape[1],) * 2, np.nan)
        units = standardized(values, self.sizes)
        correlations: NDArray[np.float64] = np.clip(np.round(units.T @ units, DECIMALS), -1.0, 1.0)
        return correlations


def quantiles_of(values: Floats) -> list[dict[str, float]]:
    """Return the quantiles of finite `values`, (examples,), interpolated linearly."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return []
    quantiles = np.quantile(finite.astype(np.float64), QUANTILES)
    return [{"quantile": share, "value": float(value)} for share, value in zip(QUANTILES, quantiles, strict=True)]


def spectrum(values: Floats, k: int, *, images: Sequence[object] = (), views: int = 1) -> dict[str, list[int]]:
    """Return examples of the middle of a channel's range: indices into `values`, (examples,), its spatial means.

    'slightly_positive' are the `k` nearest to the median of the values above zero, 'slightly_negative' those nearest to
    the median of the values below zero; what is nearer to zero than `ZERO_SHARE` of its side's end does not count for
    either. 'zero' are those nearest to zero itself, where values lie on both sides of it: else zero is the end of the
    range, or beyond it. Each kind is in falling order of value. An example is of one kind only. `images` says which
    image each example is a view of; a kind has at most so many `views` of one.
    """
    finite = np.isfinite(values)
    highest, lowest = (float(end(values[finite], initial=0.0)) for end in (np.max, np.min))
    kinds = {
        "slightly_positive": finite & (values > ZERO_SHARE * highest),
        "slightly_negative": finite & (values < ZERO_SHARE * lowest),
        "zero": finite & (lowest < 0 < highest),
    }
    chosen: dict[str, list[int]] = {}
    taken: set[int] = set()
    for kind, belongs in kinds.items():
        centre = 0.0 if kind == "zero" or not belongs.any() else float(np.median(values[belongs]))
        candidates = [int(index) for index in np.flatnonzero(belongs) if int(index) not in taken]
        nearest = sorted(candidates, key=lambda index: (abs(float(values[index]) - centre), index))
        nearest = _of_different_images(nearest, k, images, views) if images else nearest[:k]
        taken.update(nearest)
        chosen[kind] = sorted(nearest, key=lambda index: (-float(values[index]), index))
    return chosen


def _of_different_images(indices: Sequence[int], k: int, images: Sequence[object], views: int) -> list[int]:
    """Return the first `k` indices, with no more than so many `views` of one image."""
    counts: Counter[object] = Counter()
    kept: list[int] = []
    for index in indices:
        counts[images[index]] += 1
        if counts[images[index]] <= views and len(kept) < k:
            kept.append(index)
    return kept
