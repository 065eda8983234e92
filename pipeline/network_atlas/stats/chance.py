"""How well a unit can seem to be about some concept by chance: the largest correlation when labels are permuted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from network_atlas.stats.concepts import Concept, membership
from network_atlas.stats.constant import standardized

Floats = NDArray[np.float64]

PERMUTATIONS = 199
EXCEEDED = 2
"""The threshold is the second largest of 199: as all 200 orders of the labels are as likely, the true labels' largest
correlation is above it in one case of a hundred, if the unit is about nothing."""


def chance_level(
    values: NDArray[np.float32], images: Sequence[str], labels: NDArray[np.int64], concepts: Sequence[Concept]
) -> Floats:
    """Return the 99th percentile of each channel's largest correlation with any concept by chance, (channels,).

    `values` are a sample's, (examples, channels); `images` says of which image each example is a view, and `labels`,
    (examples,), index the labels of `concepts` (-1 is none). Whole images change their labels, so that the views of
    one stay together. NaN for constant channels, and where no concept has an example.
    """
    units = standardized(values)
    names, first, image_of = np.unique(np.array(images, object).astype(str), return_index=True, return_inverse=True)
    of_image = labels[first]
    count = 1 + max((label for concept in concepts for label in concept.labels), default=-1)
    belongs = membership(concepts, count)
    # RandomState: its streams never change, and every layer and machine gets the same permutations.
    random = np.random.RandomState(0)
    best = [_largest(units, of_image[random.permutation(len(names))][image_of], belongs) for _ in range(PERMUTATIONS)]
    level: Floats = np.sort(np.array(best), axis=0)[-EXCEEDED]
    return np.where(np.isfinite(units).all(axis=0) & np.isfinite(level), level, np.nan)


def chance_level_of_vectors(values: NDArray[np.floating], image_of: NDArray[np.int64], likeness: Floats) -> Floats:
    """Return the same level for concepts that images are more or less like, (channels,).

    `likeness` is (images, concepts), and `image_of` says which image each example is a view of, (examples,): the images
    exchange their rows.
    """
    units = standardized(values)
    random = np.random.RandomState(0)
    best = []
    for _ in range(PERMUTATIONS):
        scores = standardized(likeness[random.permutation(len(likeness))][image_of]).T @ units
        best.append(np.where(np.isnan(scores), -np.inf, scores).max(axis=0, initial=-np.inf))
    level: Floats = np.sort(np.array(best), axis=0)[-EXCEEDED]
    return np.where(np.isfinite(level), level, np.nan)


def _largest(units: Floats, labels: NDArray[np.int64], belongs: csr_array) -> Floats:
    """Return each channel's largest correlation with a concept, (channels,); -inf where no concept has an example."""
    scores = sample_correlations(units, labels, belongs)
    largest: Floats = np.where(np.isnan(scores), -np.inf, scores).max(axis=0, initial=-np.inf)
    return largest


def sample_correlations(units: Floats, labels: NDArray[np.int64], belongs: csr_array) -> Floats:
    """Return the correlations of standardized values, (examples, channels), with concepts: (concepts, channels)."""
    known = np.flatnonzero((labels >= 0) & (labels < belongs.shape[1]))
    chosen = csr_array(
        (np.ones(len(known)), (labels[known], known)), shape=(belongs.shape[1], len(units)), dtype=np.float64
    )
    counts = belongs @ np.asarray(chosen.sum(axis=1))
    share = counts / len(units)
    with np.errstate(divide="ignore", invalid="ignore"):
        scores: Floats = (belongs @ (chosen @ units)) / np.sqrt(counts * (1 - share))[:, None]
    return np.where(((share > 0) & (share < 1))[:, None], scores, np.nan)
