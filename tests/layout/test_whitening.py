"""Whitened directions: the inverse of the second moments, with few vectors too."""

from __future__ import annotations

import numpy as np

from network_atlas.layout.whitening import shrunk_second_moment, whitened

GENERATOR = np.random.default_rng(3)


def test_with_many_vectors_a_direction_is_the_mean_times_the_inverse_of_the_second_moments() -> None:
    mixing = np.eye(6) + 0.3 * GENERATOR.normal(size=(6, 6))
    values = (GENERATOR.normal(size=(20_000, 6)) @ mixing).astype(np.float32)
    means = values[:50].reshape(5, 10, 6).mean(axis=1)
    expected = np.linalg.inv(mixing.T @ mixing) @ means.T.astype(np.float64)
    directions = whitened(means, shrunk_second_moment(values))
    cosines = (directions * (expected / np.linalg.norm(expected, axis=0)).T).sum(axis=1)
    assert cosines.min() > 0.99
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1, rtol=1e-5)


def test_what_all_vectors_share_is_taken_off_a_direction() -> None:
    shared, special = np.eye(8)[0] * 10, np.eye(8)[1]
    noise = GENERATOR.normal(size=(400, 8)) * 0.3
    values = (shared + noise + np.repeat([0, 1], 200)[:, None] * special).astype(np.float32)
    mean = values[200:].mean(axis=0)
    assert mean.argmax() == 0
    assert whitened(mean[None], shrunk_second_moment(values))[0].argmax() == 1


def test_fewer_vectors_than_channels_and_copies_of_one_give_finite_directions() -> None:
    few = GENERATOR.normal(size=(5, 40)).astype(np.float32)
    for values in (few, np.repeat(few[:1], 7, axis=0), few[:1]):
        directions = whitened(values[:1], shrunk_second_moment(values))
        assert np.isfinite(directions).all()
        assert float(directions[0] @ values[0]) > 0
