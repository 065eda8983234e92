"""The directions of the cells of a map, as the layout stored them."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from network_atlas.store.columns import read_columns
from network_atlas.store.root import Store
from network_atlas.units import Cell, Direction

Directions = dict[tuple[int, int, int], Float32[NDArray[np.float32], " channels"]]
"""The whitened direction of each cell, by its grid, row and column."""


def read_directions(store: Store, path: str) -> Directions:
    """Return the directions of all cells in a file of cells."""
    columns = read_columns(store, path, ["grid", "row", "column", "direction"])
    places = zip(columns["grid"].tolist(), columns["row"].tolist(), columns["column"].tolist(), strict=True)
    vectors = columns["direction"].values.reshape(len(columns["grid"]), -1)
    return dict(zip(places, vectors, strict=True))


def direction_of(cell: Cell, directions: Directions) -> Direction:
    """Return the direction that stands for a cell; it has the cell's label."""
    vector = directions[cell.grid, cell.row, cell.column]
    return Direction(layer=cell.layer, name=cell.name, vector=tuple(vector.tolist()), cosine_power=cell.cosine_power)
