from __future__ import annotations

import numpy as np
import pytest

from network_atlas.attribute.groups import two_groups


def cloud(seed: int, rows: int = 9, columns: int = 40) -> np.ndarray:
    """Return vectors of one kind: a few channels count, each by its own amount in each row."""
    generator = np.random.default_rng(seed)
    scale = generator.exponential(size=columns)
    vectors: np.ndarray = scale * (3 + 0.5 * generator.standard_normal((rows, columns)))
    return vectors


def test_two_kinds_of_vectors_are_two_groups() -> None:
    vectors = np.concatenate([cloud(1, rows=5) + 30 * np.eye(40)[3], cloud(1, rows=4) + 30 * np.eye(40)[30]])
    groups = two_groups(vectors)
    assert groups is not None
    assert groups.apart
    assert groups.labels.tolist() == [0] * 5 + [1] * 4


def test_one_cloud_is_hardly_ever_two_groups() -> None:
    apart = [groups.apart for seed in range(30) if (groups := two_groups(cloud(seed)))]
    assert len(apart) == 30
    assert not any(apart)


def test_a_cloud_with_a_tail_is_no_more_often_two_groups() -> None:
    """Few examples have much of few channels, and most have none: .16 of such clouds were two groups once."""
    generator = np.random.default_rng(1)
    falls = np.exp(-np.arange(200) / 20)
    clouds = [
        generator.exponential(size=(9, 200)) * (generator.random((9, 200)) < 0.15) * falls  # behind a ReLU
        for _ in range(40)
    ]
    apart = [groups.apart for vectors in clouds if (groups := two_groups(vectors))]
    assert len(apart) > 30
    assert sum(apart) <= 4


@pytest.mark.parametrize("sizes", [(5, 4), (6, 3)])
def test_planted_groups_are_found_among_skewed_vectors(sizes: tuple[int, int]) -> None:
    generator = np.random.default_rng(2)
    falls = np.exp(-np.arange(200) / 20)

    def drawn(rows: int) -> np.ndarray:
        vectors: np.ndarray = np.maximum(generator.standard_normal((rows, 200)), 0) ** 2 * falls
        return vectors

    found = []
    for _ in range(20):
        kinds, around = drawn(2), drawn(9)
        around = 0.5 * (around - around.mean(axis=0)) / around.std() * kinds.std()
        groups = two_groups(np.repeat(kinds, sizes, axis=0) + around)
        found.append(groups is not None and groups.apart)
    assert sum(found) >= 12


def test_far_more_channels_than_examples_are_judged_alike() -> None:
    """One cloud of so many channels is the same in all directions: clouds drawn with its variances are not."""
    generator = np.random.default_rng(2)
    of_one = [two_groups(1 + generator.standard_normal((9, 3000))) for _ in range(40)]
    p_values = [groups.p_value for groups in of_one if groups]
    assert len(p_values) == 40
    assert 0.35 < np.mean(p_values) < 0.65  # .9999 by clouds drawn with the sample's variances
    kinds = generator.standard_normal((2, 3000))
    of_two = two_groups(np.repeat(kinds, [5, 4], axis=0) + 1.5 * generator.standard_normal((9, 3000)))
    assert of_two is not None
    assert of_two.apart
    assert of_two.labels.tolist() == [0] * 5 + [1] * 4


def test_strength_alone_makes_no_group() -> None:
    vectors = cloud(7)
    plain, stronger = two_groups(vectors), two_groups(vectors * np.linspace(1, 30, 9)[:, None])
    assert plain is not None
    assert stronger is not None
    np.testing.assert_array_equal(plain.labels, stronger.labels)
    assert plain.p_value == stronger.p_value


def test_one_example_apart_is_no_group() -> None:
    vectors = np.concatenate([np.ones((8, 5)) + 0.01 * cloud(3, 8, 5), [[-50.0, 0, 0, 0, 0]]])
    groups = two_groups(vectors)
    assert groups is not None
    assert np.bincount(groups.labels).tolist() == [8, 1]
    assert not groups.apart


@pytest.mark.parametrize("noise", [1e-16, 1e-12, 1e-9, 1e-7])
def test_nothing_is_said_of_vectors_that_differ_by_rounding(noise: float) -> None:
    """Behind a layer of one channel, or one that outweighs the others, all vectors have one direction."""
    generator = np.random.default_rng(4)
    direction = generator.standard_normal(60)
    strengths = generator.exponential(size=(9, 1))
    assert two_groups(strengths * (direction + noise * generator.standard_normal((9, 60)))) is None


def test_nothing_is_said_of_few_or_empty_vectors() -> None:
    assert two_groups(cloud(1)[:5]) is None
    assert two_groups(np.zeros((9, 4))) is None
    assert two_groups(np.ones((9, 4))) is None
    assert two_groups(np.full((9, 4), np.nan)) is None
