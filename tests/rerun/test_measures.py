"""The measures of a diff: against formulas, brute force, and facts that each must have."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies
from PIL import Image
from scipy.stats import wasserstein_distance

from network_atlas.rerun.alignment import correlations, linear_cka
from network_atlas.rerun.distributions import Buckets, shift, wasserstein
from network_atlas.rerun.likeness import similarity, small_version
from network_atlas.rerun.matching import chance_correlation, identity_of, index_test, match
from network_atlas.rerun.rankings import among, jaccard, rank_biased_overlap
from network_atlas.stats.histogram import Histogram

RANKINGS = strategies.lists(strategies.sampled_from("abcdefghij"), unique=True, min_size=1, max_size=8)


def test_jaccard_is_the_shared_share() -> None:
    assert jaccard(["a", "b", "c"], ["b", "c", "d"]) == 0.5
    assert jaccard([], []) is None


def test_rank_biased_overlap_is_that_of_the_formula_for_equal_depths() -> None:
    """Webber et al. 2010, equation 23: X_k / k p^k + (1 - p) / p * sum of X_d / d p^d."""
    p, overlap = 0.8, [1, 1, 2, 4]  # of 'abcd' and 'acdb'
    expected = 4 / 4 * p**4 + (1 - p) / p * sum(x / d * p**d for d, x in enumerate(overlap, 1))
    assert rank_biased_overlap("abcd", "acdb", p=p) == pytest.approx(expected)


@given(RANKINGS, RANKINGS)
def test_rank_biased_overlap_is_symmetric_and_between_zero_and_one(first: list[str], second: list[str]) -> None:
    value = rank_biased_overlap(first, second)
    assert value is not None
    assert value == pytest.approx(rank_biased_overlap(second, first) or 0.0)
    assert -1e-12 <= value <= 1 + 1e-12


@given(RANKINGS, strategies.integers(1, 8))
def test_a_ranking_agrees_with_itself_even_if_one_list_is_shorter(ranking: list[str], kept: int) -> None:
    assert rank_biased_overlap(ranking, ranking) == pytest.approx(1.0)
    assert rank_biased_overlap(ranking[:kept], ranking) == pytest.approx(1.0)


def test_higher_ranks_weigh_more() -> None:
    top_differs, bottom_differs = rank_biased_overlap("xbcd", "abcd"), rank_biased_overlap("abcx", "abcd")
    assert top_differs is not None
    assert bottom_differs is not None
    assert top_differs < bottom_differs


def test_only_shared_examples_are_ranked() -> None:
    assert among(["a", "b", "c"], {"a", "c"}) == ["a", "c"]
    assert among(["a", "b"], None) == ["a", "b"]


def _buckets(values: np.ndarray) -> Buckets:
    """Return the histogram of some values as the tables have it."""
    histogram = Histogram.empty(1)
    histogram.update(values[:, None].astype(np.float32))
    entries = histogram.entries(0, float(values.min()), float(values.max()))
    return Buckets(*(np.array([entry[name] for entry in entries], float) for name in ("low", "high", "count")))


@pytest.mark.parametrize("move", [0.0, 0.5, 3.0])
def test_the_distance_of_histograms_is_that_of_their_values(move: float) -> None:
    """Within the width of the buckets: a fifth of a value."""
    generator = np.random.default_rng(1)
    old, new = generator.normal(size=4000), generator.normal(size=3000) * 1.5 + move
    assert wasserstein(_buckets(old), _buckets(new)) == pytest.approx(wasserstein_distance(old, new), abs=0.06)


def test_the_distance_of_unequal_buckets_is_exact() -> None:
    even = Buckets(np.array([0.0]), np.array([1.0]), np.array([4.0]))
    halves = Buckets(np.array([0.0, 0.5]), np.array([0.5, 1.0]), np.array([2.0, 2.0]))
    points = Buckets(np.array([0.0, 1.0]), np.array([0.0, 1.0]), np.array([1.0, 1.0]))
    assert wasserstein(even, halves) == pytest.approx(0.0, abs=1e-15)
    assert wasserstein(even, points) == pytest.approx(0.25)  # every value goes to the nearer end
    assert wasserstein(points, Buckets(np.array([3.0]), np.array([3.0]), np.array([9.0]))) == pytest.approx(2.5)
    assert np.isnan(wasserstein(even, Buckets(*np.zeros((3, 0)))))


def test_a_shift_has_the_old_spread_as_its_unit() -> None:
    shifts = shift(np.array([1.0, 1.0]), np.array([2.0, 2.0]), np.array([0.5, 0.0]))
    np.testing.assert_array_equal(shifts, [2.0, np.nan])


def test_alignment_ignores_rotation_scale_and_offset_and_is_zero_for_unrelated_layers() -> None:
    generator = np.random.default_rng(2)
    values = generator.normal(size=(200, 300))
    rotation = np.linalg.qr(generator.normal(size=(300, 300)))[0]
    assert linear_cka(values, 7 * values @ rotation + 3) == pytest.approx(1.0)
    # The plain estimator would say .6: there are more channels than images.
    assert linear_cka(values, generator.normal(size=(200, 300))) == pytest.approx(0.0, abs=0.02)
    assert linear_cka(values, np.ones((200, 4))) is None


def test_alignment_is_that_of_the_definition_by_distinct_images() -> None:
    """The unbiased HSIC is the mean over tuples of four distinct images (Song et al. 2012, theorem 2)."""
    generator = np.random.default_rng(3)
    old, new = generator.normal(size=(6, 2)), generator.normal(size=(6, 3))
    new[:, :2] += old

    def hsic(first: np.ndarray, second: np.ndarray) -> float:
        k, l = first @ first.T, second @ second.T  # noqa: E741 - the paper's names
        tuples = [(i, j, q, r) for i, j, q, r in np.ndindex(6, 6, 6, 6) if len({i, j, q, r}) == 4]
        return float(np.mean([k[i, j] * (l[i, j] + l[q, r] - 2 * l[i, q]) for i, j, q, r in tuples]))

    expected = hsic(old, new) / np.sqrt(hsic(old, old) * hsic(new, new))
    assert linear_cka(old, new) == pytest.approx(expected)


def test_correlations_are_numpys_and_unknown_for_constant_channels() -> None:
    generator = np.random.default_rng(4)
    old, new = generator.normal(size=(50, 3)), generator.normal(size=(50, 2))
    old[:, 1] = 5.0
    between = correlations(old, new)
    assert np.isnan(between[1]).all()
    assert between[2, 1] == pytest.approx(np.corrcoef(old[:, 2], new[:, 1])[0, 1])


def _layer(channels: int, images: int = 300, seed: int = 5) -> np.ndarray:
    return np.abs(np.random.default_rng(seed).normal(size=(images, channels)))


def _matched(old: np.ndarray, new: np.ndarray):
    return match(correlations(old, new), chance=chance_correlation(old, new))


def test_two_swapped_channels_are_found_and_the_others_keep_their_numbers() -> None:
    old = _layer(20)
    order = np.arange(20)
    order[[3, 11]] = 11, 3
    matched = _matched(old, old[:, order] + 0.1 * _layer(20, seed=6))
    assert np.flatnonzero(matched.moved).tolist() == [3, 11]
    assert matched.partners[[3, 11]].tolist() == [11, 3]
    assert identity_of(matched) == "kept"


def test_renumbered_channels_are_all_found_and_their_numbers_mean_nothing() -> None:
    old = _layer(20)
    order = np.roll(np.arange(20), 7)
    matched = _matched(old, 3 * old[:, order])
    np.testing.assert_array_equal(order[matched.partners], np.arange(20))
    assert matched.moved.all()
    assert identity_of(matched) == "lost"


def test_unrelated_layers_have_no_partners() -> None:
    matched = _matched(_layer(20), _layer(20, seed=7))
    assert identity_of(matched) == "lost"
    assert not matched.alike.any()
    assert not matched.moved.any()


def test_chance_is_high_with_few_images() -> None:
    """With 12 images and 200 channels some pair correlates strongly by chance: no channel may be said to have moved."""
    old, new = _layer(200, images=12), _layer(200, images=12, seed=8)
    matched = _matched(old, new)
    assert np.nanmean(matched.correlations) > 0.7
    assert matched.alike.mean() < 0.03


def test_constant_channels_have_no_partner_and_layers_may_grow() -> None:
    old = _layer(8)
    old[:, 2] = 1.0
    matched = _matched(old, np.concatenate([_layer(4, seed=9), old], axis=1))
    assert matched.partners.tolist() == [4, 5, -1, 7, 8, 9, 10, 11]
    assert np.isnan(matched.at_index[2])


def test_the_test_by_shuffling_is_fair() -> None:
    """Of unrelated layers, about one in a hundred is called significant at .01."""
    p_values = [index_test(np.random.default_rng(seed).normal(size=(12, 12)))[0] for seed in range(60)]
    assert sum(p is not None and p <= 0.01 for p in p_values) <= 4
    assert 0.3 < np.mean([p for p in p_values if p is not None]) < 0.7
    assert index_test(np.eye(4))[0] is None


def _picture(values: np.ndarray) -> np.ndarray:
    return small_version(Image.fromarray(values.astype(np.uint8)))


def test_pictures_are_alike_up_to_brightness_contrast_and_grain() -> None:
    generator = np.random.default_rng(10)
    coarse = np.kron(generator.integers(40, 200, (4, 4, 3)), np.ones((16, 16, 1)))
    same = similarity(_picture(coarse), _picture(coarse * 0.5 + 60 + generator.normal(size=coarse.shape) * 8))
    other = np.kron(generator.integers(40, 200, (4, 4, 3)), np.ones((16, 16, 1)))
    assert same is not None
    assert same > 0.97
    assert abs(similarity(_picture(coarse), _picture(other)) or 0.0) < 0.5
    assert similarity(_picture(coarse), _picture(255 - coarse)) == pytest.approx(-1, abs=0.01)
    assert similarity(_picture(coarse), _picture(np.full((64, 64, 3), 9))) is None
