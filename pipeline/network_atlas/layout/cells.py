"""The cells of grids over a map: which vectors lie in each, their mean, and the images and labels nearest to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64
from numpy.typing import NDArray

from network_atlas.layout.projection import Points
from network_atlas.layout.vectors import Vectors
from network_atlas.unit_length import unit_length

Units = Float64[NDArray[np.float64], "vectors channels"]

LABELS, EXAMPLES = 5, 24
"""Labels and vectors that are kept of each cell, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GridCell:
    """One cell of one grid."""

    grid: int
    row: int
    column: int
    members: tuple[int, ...]
    """Numbers of its vectors, the one nearest to the mean first."""
    cosines: tuple[float, ...]
    """Of each with the mean."""
    mean: Float32[NDArray[np.float32], " channels"]
    labels: tuple[tuple[str, int], ...]
    """The commonest labels and the number of vectors that have each; of equally common ones, the nearest first."""


def cells_of(vectors: Vectors, points: Points, grid: int, fewest: int) -> Iterator[GridCell]:
    """Yield the cells of a grid that have enough vectors, row by row."""
    units, numbers = unit_length(vectors.values), numbers_of(points, grid)
    for number in np.flatnonzero(np.bincount(numbers, minlength=grid**2) >= fewest).tolist():
        members = np.flatnonzero(numbers == number)
        yield _cell(vectors, units, grid, number, members)


def numbers_of(points: Points, grid: int) -> Int64[NDArray[np.int64], " vectors"]:
    """Return the number of the cell that each point lies in: row x grid + column."""
    columns, rows = np.minimum((points * grid).astype(np.int64), grid - 1).T
    numbers: Int64[NDArray[np.int64], " vectors"] = rows * grid + columns
    return numbers


def _cell(vectors: Vectors, units: Units, grid: int, number: int, members: NDArray[np.int64]) -> GridCell:
    mean = vectors.values[members].mean(axis=0, dtype=np.float64)
    cosines: Float[NDArray[np.float64], " members"] = units[members] @ (mean / max(float(np.linalg.norm(mean)), 1e-30))
    order = np.argsort(-cosines, kind="stable")  # of equal ones, by id
    nearest_first = members[order].tolist()
    return GridCell(
        grid=grid,
        row=number // grid,
        column=number % grid,
        members=tuple(nearest_first),
        cosines=tuple(cosines[order].tolist()),
        mean=mean.astype(np.float32),
        labels=_labels([vectors.labels[member] for member in nearest_first]),
    )


def _labels(nearest_first: Sequence[str]) -> tuple[tuple[str, int], ...]:
    return tuple(Counter(filter(None, nearest_first)).most_common(LABELS))
