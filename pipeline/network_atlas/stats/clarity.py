"""How alike a unit's best images are in a later layer's eyes, and whether they fall into two groups.

    space = space_of(sample_of_later_layer)
    clear = clarity(sample.spatial_maximum, sample.ids, images, space)

Clarity is the mean cosine between the images' vectors (Dreyer et al. 2025, "Mechanistic understanding and validation of
large AI models with SemanticLens", arXiv 2501.05398). Here the vectors are the later layer's spatial means, each
channel standardized over the sample, so that images by chance have clarity 0. A unit of two meanings has images of two
kinds: each group is clearer than both together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from network_atlas.stats.constant import standardized
from network_atlas.stats.sample import Sample

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

BEST = 16
"""Images of a unit that are compared, each of another picture of the dataset."""
LEAST_SHARE = 4
"""The sample must have this many times as many images, or the best ones would be ordinary ones."""
SMALLEST_GROUP = 3
SMALLEST = 1e-9
"""Instead of an unlikeness of zero: images that are all equal gain nothing."""
BY_CHANCE = 199
"""Sets of images by chance. The second largest of their values is the 99th percentile, as in `stats.chance`."""
EXCEEDED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """Vectors of length 1 of the sampled examples in one layer."""

    rows: dict[str, int]
    """From an example_id."""
    vectors: Floats
    """(examples, channels)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clarity:
    """The clarity of the best images of each channel of a layer; arrays are (channels,)."""

    together: Floats
    groups: Floats
    """Of the two groups, the larger one first: (channels, 2). NaN where one has fewer than `SMALLEST_GROUP` images."""
    sizes: Indices
    """(channels, 2)"""
    chance: float
    """99th percentile of the clarity of images by chance."""
    gain_by_chance: float
    """99th percentile of the gain of images by chance (`gain`)."""

    @property
    def apart(self) -> NDArray[np.bool_]:
        """Say of each channel whether both groups are clearer than all together, by more than chance gives."""
        return np.asarray(gain(self.together, self.groups) > self.gain_by_chance)


def space_of(sample: Sample) -> Space:
    """Return the space of a layer's sampled spatial means; channels that are constant over the sample are left out."""
    if len(sample.ids) < 2:
        return Space(rows={}, vectors=np.empty((0, 0)))
    units = standardized(sample.spatial_mean, sample.sizes)
    units = units[:, np.isfinite(units).all(axis=0)]
    lengths = np.linalg.norm(units, axis=1, keepdims=True)
    vectors = np.divide(units, lengths, out=np.zeros_like(units), where=lengths > 0)
    return Space(rows={example_id: row for row, example_id in enumerate(sample.ids)}, vectors=vectors)


def clarity(values: NDArray[np.float32], ids: Sequence[str], images: Sequence[str], space: Space) -> Clarity | None:
    """Return the clarity of each channel's best images; `values` are the sample's, (examples, channels).

    `images` says which image each example is a view of: of an image the best view counts. None where the sample has
    too few images.
    """
    there = np.array([row for row, example_id in enumerate(ids) if example_id in space.rows], np.int64)
    names, image_of = np.unique(np.array([images[row] for row in there], dtype=str), return_inverse=True)
    if len(names) < LEAST_SHARE * BEST:
        return None
    vectors = space.vectors[[space.rows[ids[row]] for row in there]]
    best = np.stack([_best(column, image_of) for column in values[there].T])
    together, groups, sizes = _measured(vectors[best])
    # RandomState: its streams never change.
    random = np.random.RandomState(0)
    first_view = np.unique(image_of, return_index=True)[1]
    by_chance = np.stack([first_view[random.permutation(len(names))[:BEST]] for _ in range(BY_CHANCE)])
    of_chance, of_groups, _ = _measured(vectors[by_chance])
    gains = np.nan_to_num(gain(of_chance, of_groups), nan=-1.0)
    return Clarity(
        together=together,
        groups=groups,
        sizes=sizes,
        chance=float(np.sort(of_chance)[-EXCEEDED]),
        gain_by_chance=float(np.sort(gains)[-EXCEEDED]),
    )


def gain(together: Floats, groups: Floats) -> Floats:
    """Return what share of the images' unlikeness, 1 - clarity, is gone in the less clear of two groups: (sets,).

    A share, so that sets that are clear and sets that are not can be compared.
    """
    share: Floats = (groups.min(axis=1) - together) / np.maximum(1 - together, SMALLEST)
    return share


def _best(values: NDArray[np.float32], image_of: Indices) -> Indices:
    """Return the examples with the largest values, one of each image, (BEST,); of equal values the first."""
    order = np.argsort(-values, kind="stable")
    _, first = np.unique(image_of[order], return_index=True)
    best: Indices = order[np.sort(first)[:BEST]]
    return best


def _measured(vectors: Floats) -> tuple[Floats, Floats, Indices]:
    """Return the clarity of sets of vectors, (sets, images, channels): together, of two groups, and the groups' sizes.

    The groups lie on the two sides of the set's first principal component.
    """
    cosines = vectors @ vectors.transpose(0, 2, 1)
    centred = cosines - cosines.mean(axis=1, keepdims=True)
    centred -= centred.mean(axis=2, keepdims=True)
    side = np.linalg.eigh(centred)[1][:, :, -1] > 0
    larger = np.where(2 * side.sum(axis=1, keepdims=True) >= side.shape[1], side, ~side)
    members = np.stack([larger, ~larger], axis=1).astype(np.float64)
    sizes = members.sum(axis=2).astype(np.int64)
    together = _mean_cosine(cosines, np.ones((len(cosines), 1, cosines.shape[1])))[:, 0]
    groups = _mean_cosine(cosines, members)
    return together, np.where(sizes.min(axis=1, keepdims=True) >= SMALLEST_GROUP, groups, np.nan), sizes


def _mean_cosine(cosines: Floats, members: Floats) -> Floats:
    """Return the mean cosine between different members of each group, (sets, groups); NaN for a group of one."""
    count = members.sum(axis=2)
    pairs = np.einsum("sgi,sij,sgj->sg", members, cosines, members)
    alone = np.einsum("sgi,sii->sg", members, cosines)
    with np.errstate(divide="ignore", invalid="ignore"):
        means: Floats = (pairs - alone) / (count * (count - 1))
    return means
