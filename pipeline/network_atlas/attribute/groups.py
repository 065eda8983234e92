"""Say whether the examples of a channel are driven by two different sets of channels below (after PURE).

The examples' vectors of A over the layers below are divided in two (k-means). How well that fits is the cluster index:
the sum of squares within the two groups over that around the common mean. Any cloud can be cut in two, so the index is
compared with those of clouds of one piece, as SigClust does (Liu, Hayes, Nolan and Marron 2008). But there are far more
channels than examples, so the true variances can't be known, and clouds drawn with the sample's have others yet. Of
normal vectors the directions of the examples along their principal axes are uniformly random, whatever the variances
(James 1954). So the clouds are the examples with these drawn anew: each has the sample's variances. What counts below a
channel is skewed, as behind a ReLU few examples have much of it, and a cloud with a tail divides better than an even
one: so the directions are drawn with the skewness that the examples have along each axis. Two groups of about one size
are not skewed. And all examples have one length, so those of the clouds are made the same.

Source of the idea: Dreyer, Purelku, Vielhaben, Samek and Lapuschkin 2024, PURE (arXiv 2404.06453).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import NDArray

SMALLEST = 2
"""Examples that a group has at least: one alone is no group."""
FEWEST = 6
"""Examples that are needed to say anything."""
CLOUDS = 400
"""Clouds of one piece that the examples are compared with."""
RARE = 0.0025
"""Groups are apart if no more than this share of the clouds is divided as well: none of 400."""
SAME = 1e-5
"""Vectors of length 1 that differ by less are one: A is computed from gradients in single precision."""
EVEN = 0.05
"""Skewness below which a distribution is taken to have this much: nearly normal."""
TURNS = 3
"""How often a cloud's rows are given their lengths and the cloud its mean, each of which moves the other a little."""
ROUNDS = 10
"""Rounds of k-means; a dozen vectors settle in two or three."""

Vectors = Float64[NDArray[np.float64], "clouds rows axes"]
Labels = Float64[NDArray[np.float64], "clouds rows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """Two groups of examples."""

    labels: Int64[NDArray[np.int64], " examples"]
    """0 for those of the larger group, 1 for the others."""
    index: float
    """Cluster index, 0..1: small where the groups are tight and far apart."""
    p_value: float
    """Share of the clouds of one piece that are divided as well."""

    @property
    def apart(self) -> bool:
        """Say whether these are two groups, not one cloud."""
        return self.p_value <= RARE and int(np.bincount(self.labels, minlength=2).min()) >= SMALLEST


def two_groups(vectors: Float64[NDArray[np.float64], "examples channels"]) -> Groups | None:
    """Return the examples in two groups, by the direction of their vectors; None for too few that differ from zero."""
    lengths = np.linalg.norm(vectors, axis=1)
    if len(vectors) < FEWEST or not np.isfinite(lengths).all() or not (lengths > 0).all():
        return None
    rows = _on_axes(vectors / lengths[:, None])
    if not rows.size:
        return None
    labels, index = _divided(rows[None])
    _, indices = _divided(_of_one_piece(rows))
    # With the examples themselves among the clouds, the share is never zero (Phipson and Smyth 2010).
    p_value = (1 + int((indices <= index[0]).sum())) / (CLOUDS + 1)
    groups = labels[0] if labels[0].mean() <= 0.5 else 1 - labels[0]
    return Groups(labels=groups.astype(np.int64), index=float(index[0]), p_value=p_value)


def _on_axes(rows: Float64[NDArray[np.float64], "rows channels"]) -> Float64[NDArray[np.float64], "rows axes"]:
    """Return the rows, of length 1, around their mean, along their principal axes: fewer columns than rows."""
    left, sizes, _ = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    axes = min(int((sizes > SAME).sum()), len(rows) - 1)
    kept: NDArray[np.float64] = (left * sizes)[:, :axes]
    return kept


def _of_one_piece(rows: Float64[NDArray[np.float64], "rows axes"]) -> Vectors:
    """Return clouds with the variances and skewness of rows that are given along their principal axes, around their
    mean; and with the rows' lengths."""
    count, axes = rows.shape
    sizes = np.linalg.norm(rows, axis=0)
    skewness = np.abs(((rows / sizes) ** 3).sum(axis=0)) * count * np.sqrt(count - 1) / (count - 2)
    # Of a gamma distribution the skewness follows from its shape: 2 / sqrt(shape).
    shape = 4 / np.maximum(skewness, EVEN) ** 2
    drawn = np.random.default_rng(0).standard_gamma(np.broadcast_to(shape, (CLOUDS, count, axes)))
    clouds: Vectors = np.linalg.qr(drawn - drawn.mean(axis=1, keepdims=True))[0] * sizes
    lengths = np.linalg.norm(rows, axis=1)
    for _ in range(TURNS):
        clouds *= (lengths / np.maximum(np.linalg.norm(clouds, axis=2), SAME))[:, :, None]
        clouds -= clouds.mean(axis=1, keepdims=True)
    return clouds


def _divided(clouds: Vectors) -> tuple[Labels, Float64[NDArray[np.float64], " clouds"]]:
    """Return each cloud's rows in two groups (0 and 1), and the cluster index.

    k-means, started from the sides of the first principal axis.
    """
    centred = clouds - clouds.mean(axis=1, keepdims=True)
    products = centred @ centred.transpose(0, 2, 1)
    axis = np.linalg.eigh(products)[1][:, :, -1]
    labels = (axis > 0).astype(np.float64)
    for _ in range(ROUNDS):
        distances = np.stack([_distances(products, weights) for weights in (1 - labels, labels)])
        labels = (distances[1] < distances[0]).astype(np.float64)
    within = np.where(labels > 0, _distances(products, labels), _distances(products, 1 - labels)).sum(axis=1)
    return labels, within / np.trace(products, axis1=1, axis2=2)


def _distances(
    products: Float64[NDArray[np.float64], "clouds rows rows"], members: Float64[NDArray[np.float64], "clouds rows"]
) -> Float64[NDArray[np.float64], "clouds rows"]:
    """Return the squared distance of every row to the mean of the members; infinite where there are none."""
    count = members.sum(axis=1, keepdims=True)
    weights = members / np.maximum(count, 1)
    of_mean = np.einsum("ci,cij,cj->c", weights, products, weights)[:, None]
    to_mean = np.einsum("cij,cj->ci", products, weights)
    own = np.diagonal(products, axis1=1, axis2=2)
    distances: NDArray[np.float64] = np.where(count > 0, own - 2 * to_mean + of_mean, np.inf)
    return distances
