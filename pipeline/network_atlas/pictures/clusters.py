"""Sort a unit's best examples into groups that look alike to the network: the facets of the unit.

labels = clusters(features, 3)     # features of the same examples, in the same order, give the same labels
"""

from __future__ import annotations

import warnings

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

ROUNDS = 20
"""Rounds of k-means. A few dozen examples settle in fewer."""


def clusters(features: Float64[NDArray[np.float64], "rows columns"], count: int) -> Int64[NDArray[np.int64], " rows"]:
    """Return the cluster of each row: k-means, started from rows that lie far apart, the same every time.

    No cluster is empty, as long as there are at least `count` rows. Clusters are numbered by size, the largest first.
    """
    k_means = KMeans(count, init=features[_far_apart(features, count)], n_init=1, max_iter=ROUNDS, tol=0.0)
    # With several threads, sums are added up in another order, and a row between two centres may change sides.
    with threadpool_limits(limits=1), warnings.catch_warnings():
        # "Fewer distinct clusters than asked for": equal rows, which `_without_empty` deals with.
        warnings.simplefilter("ignore", ConvergenceWarning)
        k_means.fit(features)
    return _by_size(_without_empty(k_means.labels_, features, k_means.cluster_centers_), count)


def _far_apart(features: Float64[NDArray[np.float64], "rows columns"], count: int) -> list[int]:
    """Return `count` row numbers: the first (the unit's best example), then each time the row farthest from those.

    scikit-learn's own start, k-means++, draws rows by chance; this one needs no seed.
    """
    chosen = [0]
    while len(chosen) < count:
        nearest = np.square(features[:, None] - features[None, chosen]).sum(axis=2).min(axis=1)
        nearest[chosen] = -1.0
        chosen.append(int(nearest.argmax()))
    return chosen


def _without_empty(
    labels: NDArray[np.int32],
    features: Float64[NDArray[np.float64], "rows columns"],
    centres: Float64[NDArray[np.float64], "clusters columns"],
) -> Int64[NDArray[np.int64], " rows"]:
    """Return labels in which each empty cluster has got the row that fits its cluster worst and is not alone there."""
    result = labels.astype(np.int64)
    distances = np.square(features - centres[result]).sum(axis=1)
    for number in range(len(centres)):
        sizes = np.bincount(result, minlength=len(centres))
        if not sizes[number]:
            result[np.where(sizes[result] > 1, distances, -1.0).argmax()] = number
    return result


def _by_size(labels: Int64[NDArray[np.int64], " rows"], count: int) -> Int64[NDArray[np.int64], " rows"]:
    """Return labels numbered anew: the largest cluster is 0; of equal ones, that which appears first comes first."""
    order = sorted(range(count), key=lambda number: (-int((labels == number).sum()), int(np.argmax(labels == number))))
    new_numbers = np.empty(count, dtype=np.int64)
    new_numbers[order] = np.arange(count)
    result: NDArray[np.int64] = new_numbers[labels]
    return result
