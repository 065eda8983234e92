"""Directions of a layer's activations that recur over images: where channels are not the right basis.

found = find(vectors.values, 16, method="k_means", seed=0)
found.vectors     # (directions, channels), of unit length, the one with most members first
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import NDArray

from network_atlas.errors import SelectionError
from network_atlas.plan.directions import most_directions
from network_atlas.unit_length import unit_length

ROUNDS = 50
"""Rounds of k-means, which settles in fewer, and a tenth of NMF's at most."""
SEEDS = 3
"""Fits that are compared: with the seed, and the two after it."""

Matrix = Float64[NDArray[np.float64], "vectors channels"]
Directions = Float64[NDArray[np.float64], "directions channels"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Directions, the one with most members first."""

    vectors: Directions
    members: Int64[NDArray[np.int64], " directions"]
    """Vectors that are nearest to each."""
    stability: Float64[NDArray[np.float64], " directions"]
    """Mean over two further seeds of the largest cosine with a direction that these find."""


def find(values: NDArray[np.float32], count: int, *, method: str, seed: int, layer: str = "") -> Found:
    """Return directions of activation vectors, (vectors, channels): `count`, or fewer where there are few vectors.

    'k_means' is spherical k-means (Dhillon and Modha 2001): means of vectors by cosine. 'nmf' is non-negative matrix
    factorization (Lee and Seung 1999); it raises SelectionError for negative values.
    """
    exact = values.astype(np.float64)
    fitting = min(count, most_directions(len(exact)))
    if fitting < 1:
        return Found(vectors=np.empty((0, exact.shape[1])), members=np.empty(0, np.int64), stability=np.empty(0))
    if method == "nmf" and exact.min() < 0:
        raise SelectionError(
            f"sweep.directions.method=nmf is for layers without negative values; {layer} has {exact.min():.3g}. "
            "Give method=k_means, or leave this layer out of sweep.directions.include"
        )
    fits = [_fit(exact, fitting, method, (seed + further) % 2**32) for further in range(SEEDS)]
    first = fits[0]
    nearest = (exact @ first.T).argmax(axis=1)
    members = np.bincount(nearest, minlength=len(first))
    stability = np.mean([(first @ other.T).max(axis=1) for other in fits[1:]], axis=0)
    order = np.argsort(-members, kind="stable")
    return Found(vectors=first[order], members=members[order], stability=stability[order])


def _fit(values: Matrix, count: int, method: str, seed: int) -> Directions:
    return _spherical_k_means(unit_length(values), count, seed) if method == "k_means" else _nmf(values, count, seed)


def _spherical_k_means(units: Matrix, count: int, seed: int) -> Directions:
    from sklearn.cluster import kmeans_plusplus  # here: most runs find no directions, and it takes a second to load

    centres, _ = kmeans_plusplus(units, count, random_state=seed)
    nearest = np.full(len(units), -1)
    for _ in range(ROUNDS):
        before, nearest = nearest, (units @ centres.T).argmax(axis=1)
        if (nearest == before).all():
            break
        sums = np.zeros_like(centres)
        np.add.at(sums, nearest, units)
        # A cluster that lost its vectors keeps its centre.
        centres = np.where(sums.any(axis=1, keepdims=True), unit_length(sums), centres)
    directions: Directions = centres
    return directions


def _nmf(values: Matrix, count: int, seed: int) -> Directions:
    from sklearn.decomposition import NMF
    from sklearn.exceptions import ConvergenceWarning

    model = NMF(min(count, values.shape[1]), init="random", random_state=seed, max_iter=10 * ROUNDS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # stability says how far to trust the directions
        model.fit(values)
    parts: Directions = model.components_
    return unit_length(parts[parts.any(axis=1)])
