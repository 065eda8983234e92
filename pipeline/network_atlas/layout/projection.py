"""Lay vectors out on a square, so that vectors in similar directions lie close together.

By UMAP (McInnes, Healy, Melville 2018) with the settings of activation atlases (Carter et al. 2019): 50 neighbours by
cosine, `min_dist` .05. The last mapped layer is laid out first, and all others are aligned to its map: a vector starts
where that of the same image lies there (UMAP keeps much of its start: Kobak and Linderman 2021), counts this place
as two further coordinates when its neighbours are found, and the result is turned back to the start. So an image lies
in similar places of all maps, and a map depends on its own layer and the last one alone.

Seeded and with one thread, the same vectors give the same bits on machines with the same kind of processor and the same
versions of numba and UMAP. On others the map may be another one of the same quality: it is made once and kept.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float32
from numpy.typing import NDArray

from network_atlas.config.layout import LayoutConfig
from network_atlas.unit_length import unit_length

Name = tuple[str, bool]
"""An image, and whether the vector is that at its drawn position: see `layout.vectors`."""
Matrix = Float[NDArray[np.floating], "vectors dimensions"]
Points = Float32[NDArray[np.float32], "vectors 2"]

FEWEST = 30
"""With fewer vectors there are no neighbourhoods for UMAP to find: they stay where they start."""
NEIGHBOURS_OF = 10
"""Of ten vectors one counts as a neighbour, if there are too few for the configured number."""
CLIPPED_PERCENT = 1.0
MARGIN = 0.1
"""What lies further out than a tenth of the range between the 1st and the 99th percentile moves to the border."""


def start_positions(vectors: Matrix) -> Points:
    """Return the position of each vector in the plane of the two directions in which they differ most.

    These are the principal components of the vectors, scaled to unit length each.
    """
    values = unit_length(vectors)
    left, sizes, right = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
    # A component's sign is arbitrary: its largest entry is made positive.
    signs = np.sign(right[np.arange(len(right)), np.abs(right).argmax(axis=1)])
    plane = (left * sizes * signs)[:, :2]
    plane = np.pad(plane, ((0, 0), (0, 2 - plane.shape[1])))
    spread = np.maximum(plane.std(axis=0), np.finfo(np.float32).tiny)
    start: Points = (plane / spread).astype(np.float32)
    return start


def partners(names: Sequence[Name], others: Sequence[Name], places: Points) -> Points:
    """Return for each vector the place of its partner on another map, whose vectors are `others`.

    That is the vector of the same name, or else the other one of its image: layers with a single position have one
    vector of each image. Without either, as of an image that is not finite there, it is the middle of the map.
    """
    of_name = dict(zip(others, places, strict=True))
    of_image = {image: place for (image, _), place in of_name.items()}
    middle = np.full(2, 0.5, np.float32)
    found: Points = np.stack([of_name.get(name, of_image.get(name[0], middle)) for name in names])
    return found


def project(values: Matrix, start: Points, config: LayoutConfig, *, aligned: bool = False) -> Points:
    """Return the position of each vector on the unit square, x to the right and y downwards.

    `aligned`: the start is where the vectors' partners lie on another map.
    """
    points = start
    if len(values) >= FEWEST:
        further = config.alignment * _standardized(start) if aligned else np.zeros((len(start), 0))
        # Between vectors of unit length, neighbours by distance are those by cosine.
        places = np.concatenate([_standardized(unit_length(values)), further], axis=1)
        points = turned_to(start, _umap(places.astype(np.float32), start, config))
    return on_unit_square(points)


def _standardized(points: Matrix) -> Matrix:
    """Return the points around 0, with a mean squared distance of 1 from it."""
    centred: Matrix = points.astype(np.float64) - points.mean(axis=0, dtype=np.float64)
    size = np.sqrt((centred**2).sum(axis=1).mean())
    scaled: Matrix = centred / max(float(size), float(np.finfo(np.float64).tiny))
    return scaled


def _umap(values: Matrix, start: Points, config: LayoutConfig) -> Points:
    with warnings.catch_warnings():
        # That TensorFlow is not installed, which one of its methods would need.
        warnings.simplefilter("ignore", ImportWarning)
        from umap import UMAP  # imported here: it takes seconds, and few processes lay out a map
    neighbours = min(config.neighbours, max(2, len(values) // NEIGHBOURS_OF))
    # UMAP scales its start and moves equal points apart; it works on a copy, as it writes into the array.
    reducer = UMAP(
        n_neighbors=neighbours,
        min_dist=config.distance,
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
