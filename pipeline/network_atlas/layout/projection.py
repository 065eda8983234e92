"""Lay vectors out on a square, so that vectors in similar directions lie close together.

By UMAP (McInnes, Healy, Melville 2018) with the settings of activation atlases (Carter et al. 2019): 50 neighbours by
cosine, `min_dist` .05. UMAP keeps much of the arrangement that it starts from (Kobak and Linderman 2021). So all maps
of a run start from the same positions, and are turned back to these at the end: a group of images lies in similar
places of all maps.

Seeded and with one thread, the same vectors give the same bits on machines with the same kind of processor and the same
versions of numba and UMAP. On others the map may be another one of the same quality: it is made once and kept.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from jaxtyping import Float, Float32
from numpy.typing import NDArray

from network_atlas.config.layout import LayoutConfig

Name = TypeVar("Name")
Points = Float32[NDArray[np.float32], "vectors 2"]

FEWEST = 30
"""With fewer vectors there are no neighbourhoods for UMAP to find: they stay where they start."""
NEIGHBOURS_OF = 10
"""Of ten vectors one counts as a neighbour, if there are too few for the configured number."""
CLIPPED_PERCENT = 1.0
MARGIN = 0.1
"""What lies further out than a tenth of the range between the 1st and the 99th percentile moves to the border."""


def start_positions(
    names: Sequence[Name], vectors: Float[NDArray[np.float32], "vectors channels"]
) -> dict[Name, NDArray[np.float32]]:
    """Return the position of each vector in the plane of the two directions in which they differ most, by its name.

    These are the principal components of the vectors of one layer, scaled to unit length each.
    """
    values = vectors.astype(np.float64)
    values /= np.maximum(np.linalg.norm(values, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    left, sizes, right = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
    # A component's sign is arbitrary: its largest entry is made positive.
    signs = np.sign(right[np.arange(len(right)), np.abs(right).argmax(axis=1)])
    plane = (left * sizes * signs)[:, :2]
    plane = np.pad(plane, ((0, 0), (0, 2 - plane.shape[1])))
    spread = np.maximum(plane.std(axis=0), np.finfo(np.float32).tiny)
    return dict(zip(names, (plane / spread).astype(np.float32), strict=True))


def project(values: Float[NDArray[np.float32], "vectors channels"], start: Points, config: LayoutConfig) -> Points:
    """Return the position of each vector on the unit square, x to the right and y downwards."""
    points = start
    if len(values) >= FEWEST:
        points = turned_to(start, _umap(values, start, config))
    return on_unit_square(points)


def _umap(values: Float[NDArray[np.float32], "vectors channels"], start: Points, config: LayoutConfig) -> Points:
    with warnings.catch_warnings():
        # That TensorFlow is not installed, which one of its methods would need.
        warnings.simplefilter("ignore", ImportWarning)
        from umap import UMAP  # imported here: it takes seconds, and few processes lay out a map
    neighbours = min(config.neighbours, max(2, len(values) // NEIGHBOURS_OF))
    # UMAP scales its start and moves equal points apart; it works on a copy, as it writes into the array.
    reducer = UMAP(
        n_neighbors=neighbours,
        min_dist=config.distance,
        metric="cosine",
        init=start.copy(),
        random_state=config.seed % 2**32,
        n_jobs=1,
    )
    points: Points = np.asarray(reducer.fit_transform(values), dtype=np.float32)
    return points


def turned_to(start: Points, points: Points) -> Points:
    """Return the points turned, and mirrored where that helps, so that they lie as near to their start as can be.

    Orthogonal Procrustes (Schönemann 1966) around the middle of the points.
    """
    moved = points.astype(np.float64) - points.mean(axis=0, dtype=np.float64)
    left, _, right = np.linalg.svd(moved.T @ (start - start.mean(axis=0)).astype(np.float64))
    turned: Points = (moved @ left @ right).astype(np.float32)
    return turned


def on_unit_square(points: Points) -> Points:
    """Return the points scaled to the unit square by their percentiles; what lies further out moves to the border."""
    low, high = np.percentile(points, [CLIPPED_PERCENT, 100 - CLIPPED_PERCENT], axis=0)
    margin = MARGIN * (high - low)
    low, width = low - margin, np.maximum(high - low + 2 * margin, np.finfo(np.float32).tiny)
    square: Points = np.clip((points - low) / width, 0.0, 1.0).astype(np.float32)
    return square
