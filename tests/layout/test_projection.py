"""Starts, turns and scaling of maps, and UMAP on few vectors; on a whole run: `test_planted.py`."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import needs
from processes import PYTHON_PATH

from network_atlas.layout.projection import FEWEST, on_unit_square, partners, project, start_positions, turned_to

GENERATOR = np.random.default_rng(5)
CLOUD = GENERATOR.normal(size=(40, 2)).astype(np.float32)


def test_images_that_differ_most_start_farthest_apart() -> None:
    means = np.eye(6, dtype=np.float32)[[0, 0, 0, 1, 1, 1]] + 0.01 * GENERATOR.normal(size=(6, 6)).astype(np.float32)
    first = start_positions(means)[:, 0].tolist()
    assert max(first[:3]) < min(first[3:]) or max(first[3:]) < min(first[:3])


@pytest.mark.parametrize("shape", [(1, 4), (2, 4), (5, 1)])
def test_few_images_and_single_channels_have_a_start_too(shape: tuple[int, int]) -> None:
    starts = start_positions(np.ones(shape, np.float32))
    assert starts.shape == (shape[0], 2)
    assert np.isfinite(starts).all()


def test_a_vector_starts_at_its_partner_or_at_the_other_of_its_image_or_in_the_middle() -> None:
    others = [("a", True), ("a", False), ("b", True)]
    places = np.array([[0.1, 0.2], [0.3, 0.4], [0.9, 0.8]], np.float32)
    names = [("a", False), ("b", True), ("b", False), ("c", True)]
    np.testing.assert_array_equal(partners(names, others, places), [*places[[1, 2, 2]], [0.5, 0.5]])
    assert partners(names, [], places[:0]).tolist() == [[0.5, 0.5]] * 4


@pytest.mark.parametrize("mirrored", [1, -1])
def test_a_map_is_turned_and_mirrored_back_to_its_start(mirrored: int) -> None:
    turn = np.array([[np.cos(2), np.sin(2)], [-np.sin(2), np.cos(2)]], np.float32) * [[1], [mirrored]]
    back = turned_to(CLOUD, (CLOUD @ turn + 7).astype(np.float32))
    np.testing.assert_allclose(back, CLOUD - CLOUD.mean(axis=0), atol=1e-4)


def test_turning_keeps_all_distances() -> None:
    other = GENERATOR.normal(size=(40, 2)).astype(np.float32)
    back = turned_to(CLOUD, other)
    np.testing.assert_allclose(
        np.linalg.norm(back[1:] - back[:-1], axis=1), np.linalg.norm(np.diff(other, axis=0), axis=1), rtol=1e-4
    )


def test_what_lies_far_out_moves_to_the_border_and_leaves_room_for_the_others() -> None:
    points = np.concatenate([CLOUD.repeat(10, axis=0), [[1000.0, -1000.0]]]).astype(np.float32)
    square = on_unit_square(points)
    assert square[-1].tolist() == [1.0, 0.0]
    assert np.ptp(square[:-1], axis=0).min() > 0.8
    assert square.min() >= 0
    assert square.max() <= 1


def test_few_vectors_stay_in_the_arrangement_that_they_start_from(composed_maps) -> None:  # type: ignore[no-untyped-def]
    start = CLOUD[: FEWEST - 1]
    square = project(np.ones((FEWEST - 1, 3), np.float32), start, composed_maps().layout)
    assert np.corrcoef(square[:, 0], start[:, 0])[0, 1] > 0.97
    assert np.isfinite(on_unit_square(start[:1])).all()


PROJECTED = """
import json, numpy as np
from network_atlas.config.compose import compose
from network_atlas.layout.projection import project

generator = np.random.default_rng(0)
vectors = np.eye(4)[np.arange(30) % 2] + generator.uniform(0, 0.3, (30, 4))
start = generator.normal(size=(30, 2)).astype(np.float32)
layout = compose(["layout=main_layers"]).layout
print(json.dumps([project(vectors.astype(np.float32), start, layout).tolist() for _ in range(2)]))
"""
"""Two maps of thirty vectors in two directions, from a start that mixes them."""


@needs("umap")
def test_umap_takes_vectors_in_two_directions_apart_and_is_the_same_again() -> None:
    """Not compiled by numba, which would take a minute in a new environment."""
    environment = os.environ | {"PYTHONPATH": PYTHON_PATH, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(
        [sys.executable, "-c", PROJECTED], env=environment, capture_output=True, text=True, check=True
    )
    first, again = json.loads(done.stdout)
    assert first == again
    distances = np.linalg.norm(np.array(first)[:, None] - np.array(first), axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (distances.argmin(axis=1) % 2 == np.arange(30) % 2).all()


@needs("umap")
def test_umap_is_not_loaded_before_it_is_needed() -> None:
    code = "import sys, network_atlas.layout.worker; assert not {'umap', 'sklearn', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
