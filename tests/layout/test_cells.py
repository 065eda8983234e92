"""Grids and their cells."""

from __future__ import annotations

import numpy as np
import pytest

from network_atlas.layout.cells import cells_of
from network_atlas.layout.vectors import Vectors
from network_atlas.plan.layouts import grid_sizes


@pytest.mark.parametrize(
    ("vectors", "sizes"),
    [
        (1, (3,)),
        (36, (3,)),
        (62, (3,)),
        (72, (3, 5)),
        (100, (3, 5)),
        (500, (3, 5, 10)),
        (2000, (5, 10, 20)),
        (10_000, (10, 20, 40)),
    ],
)
def test_the_finest_grid_follows_from_the_number_of_vectors(vectors: int, sizes: tuple[int, ...]) -> None:
    assert grid_sizes((), vectors) == sizes
    assert grid_sizes((7, 9), vectors) == (7, 9)


def vectors_of(values: np.ndarray, labels: str) -> Vectors:
    count = len(values)
    return Vectors(
        ids=tuple(f"{number}.png" for number in range(count)),
        labels=tuple(label.strip() for label in labels),
        at=np.zeros((count, 2), np.int32),
        values=values.astype(np.float32),
        names=tuple((f"{number}.png", True) for number in range(count)),
    )


def test_cells_hold_what_lies_in_them_and_the_nearest_come_first() -> None:
    points = np.array([[0.1, 0.1], [0.2, 0.2], [0.4, 0.4], [0.9, 0.1], [1.0, 1.0]], np.float32)
    values = np.array([[1, 0], [1, 1], [0.8, 0.9], [1, 0], [0, 3]])
    upper_left, *others = cells_of(vectors_of(values, "abbca"), points, 2, 1)
    assert (upper_left.row, upper_left.column, upper_left.members) == (0, 0, (1, 2, 0))
    assert list(upper_left.cosines) == sorted(upper_left.cosines, reverse=True)
    np.testing.assert_allclose(upper_left.mean, values[:3].mean(axis=0), rtol=1e-6)
    assert upper_left.labels == (("b", 2), ("a", 1))
    assert [(cell.row, cell.column, cell.members) for cell in others] == [(0, 1, (3,)), (1, 1, (4,))]


def test_cells_with_too_few_vectors_are_left_out() -> None:
    points = np.array([[0.1, 0.1], [0.2, 0.2], [0.9, 0.9]], np.float32)
    assert [cell.members for cell in cells_of(vectors_of(np.ones((3, 2)), "aab"), points, 2, 2)] == [(0, 1)]
    assert not list(cells_of(vectors_of(np.ones((3, 2)), "aab"), points, 2, 3))


def test_of_equally_common_labels_the_nearest_comes_first_and_unknown_ones_do_not_count() -> None:
    values = np.array([[1, 0.5], [1, 0.1], [1, 0.2]])
    (cell,) = cells_of(vectors_of(values, "a b"), np.full((3, 2), 0.5, np.float32), 1, 1)
    assert cell.labels == (("b", 1), ("a", 1))


def test_vectors_whose_squares_float32_cannot_hold_have_cosines_too() -> None:
    values = np.array([[1.0, 0.0], [1.0, 1.0], [3.0, 4.0]])
    points = np.full((3, 2), 0.5, np.float32)
    (cell,), (huge,) = (cells_of(vectors_of(values * size, "abc"), points, 1, 1) for size in (1.0, 1e30))
    mean = values.mean(axis=0)
    cosines = values @ mean / np.linalg.norm(values, axis=1) / np.linalg.norm(mean)
    for found in (cell, huge):
        assert found.members == (1, 2, 0)
        np.testing.assert_allclose(found.cosines, cosines[[1, 2, 0]], rtol=1e-6)
