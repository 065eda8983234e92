from __future__ import annotations

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from network_atlas.pictures.clusters import clusters


@given(st.integers(1, 8), st.integers(0, 2**16))
@example(5, 4122)  # giving one cluster a row must not empty another
def test_every_cluster_has_members_and_the_largest_comes_first(count: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    features = generator.integers(0, 3, (8, 2)).astype(np.float64)
    labels = clusters(features, count)
    sizes = np.bincount(labels, minlength=count)
    assert (sizes > 0).all()
    assert (np.diff(sizes) <= 0).all()
    assert np.array_equal(labels, clusters(features, count))


def test_rows_that_are_all_equal_still_fill_every_cluster() -> None:
    assert clusters(np.ones((5, 3)), 3).tolist() == [1, 2, 0, 0, 0]


def test_clusters_that_lie_apart_are_found() -> None:
    features = np.array([[0.0, 0], [10, 0], [0, 0.1], [10, 0.2], [0.1, 0], [0, 10]])
    assert clusters(features, 3).tolist() == [0, 1, 0, 1, 0, 2]
