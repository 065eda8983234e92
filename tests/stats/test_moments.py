from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from network_atlas.stats.moments import Moments
from network_atlas.stats.tree import merge_tree


def moments_of(values: NDArray[np.float64]) -> Moments:
    """Return the moments of (values, channels), computed directly."""
    distance = values - values.mean(axis=0)
    return Moments(
        count=np.full(values.shape[1], len(values)),
        mean=values.mean(axis=0),
        m2=(distance**2).sum(axis=0),
        m3=(distance**3).sum(axis=0),
        minimum=values.min(axis=0),
        maximum=values.max(axis=0),
        active=(values > 0).sum(axis=0),
    )


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(1, 20), min_size=1, max_size=9))
def test_merging_parts_equals_one_pass(seed: int, sizes: list[int]) -> None:
    values = np.random.default_rng(seed).gamma(2.0, 3.0, (sum(sizes), 4)) - 3.0
    parts = np.split(values, np.cumsum(sizes)[:-1])
    merged = merge_tree((moments_of(part) for part in parts), Moments.merge)
    whole = moments_of(values)
    assert merged.count.tolist() == whole.count.tolist()
    for name in ("mean", "variance", "m3", "minimum", "maximum", "active"):
        np.testing.assert_allclose(getattr(merged, name), getattr(whole, name), rtol=1e-9, atol=1e-8)


def test_nothing_is_neutral() -> None:
    some = moments_of(np.arange(6.0).reshape(3, 2))
    merged = Moments.empty(2).merge(some).merge(Moments.empty(2))
    for name in ("mean", "m2", "m3", "minimum", "maximum", "active"):
        np.testing.assert_array_equal(getattr(merged, name), getattr(some, name))
    assert merged.count.tolist() == [3, 3]


def test_variance_does_not_cancel_far_from_zero() -> None:
    values = 1e9 + np.random.default_rng(0).normal(size=(1000, 1))
    merged = merge_tree((moments_of(part) for part in np.split(values, 10)), Moments.merge)
    assert merged.variance[0] == pytest.approx(values.var(), rel=1e-6)


def test_skewness_has_the_sign_of_the_longer_tail() -> None:
    right, left, even = [0.0, 0.0, 0.0, 9.0], [9.0, 9.0, 9.0, 0.0], [-1.0, 0.0, 0.0, 1.0]
    skewness = moments_of(np.array([right, left, even]).T).skewness
    assert skewness.tolist() == pytest.approx([1.1547005, -1.1547005, 0.0])


def test_undefined_moments_are_nan() -> None:
    assert np.isnan(Moments.empty(2).variance).all()
    assert np.isnan(moments_of(np.ones((3, 2))).skewness).all()


def of(values: NDArray[np.floating]) -> Moments:
    """Return the moments of a channel's values, (examples,)."""
    moments = Moments.empty(1)
    moments.update(values.astype(np.float32)[:, None])
    return moments


@pytest.mark.parametrize("terms", [49, 576, 4608])
def test_sums_that_are_equal_but_for_rounding_are_constant(terms: int) -> None:
    numbers = torch.randn((300, terms), generator=torch.Generator().manual_seed(terms))
    normalized = [torch.nn.functional.layer_norm(values, (terms,)) for values in (numbers.double(), numbers)]
    exact, rounded = (values.sum(dim=1) + terms**0.5 for values in normalized)
    assert float(exact.max() - exact.min()) < 1e-10
    assert of(rounded.numpy()).is_constant().all()
    moved = rounded.clone()
    moved[7] *= 1.0001
    assert not of(moved.numpy()).is_constant().any()


@pytest.mark.parametrize(("last_places", "constant"), [(1, True), (54, True), (127, True), (200, False)])
def test_the_bound_is_that_of_sums_of_sixteen_thousand_terms(last_places: int, constant: bool) -> None:
    values = 1 + np.finfo(np.float32).eps * np.arange(last_places + 1)
    assert of(values).is_constant().tolist() == [constant]
    assert of(-values).is_constant().tolist() == [constant]


def test_means_of_large_values_are_constant_where_they_differ_by_the_rounding_of_those() -> None:
    means = 1e-7 * np.random.default_rng(0).standard_normal(100)  # as of maps that are normalized one by one
    assert of(means).is_constant().tolist() == [False]
    assert of(means).is_constant(4.0).tolist() == [True]
