from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.stats.moments import Moments, merge_all


def moments_of(values: NDArray[np.float64]) -> Moments:
    """Return the moments of (values, channels), computed directly."""
    return Moments(
        values=len(values),
        mean=values.mean(axis=0),
        m2=((values - values.mean(axis=0)) ** 2).sum(axis=0),
        minimum=values.min(axis=0),
        maximum=values.max(axis=0),
    )


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(1, 20), min_size=1, max_size=6))
def test_merging_parts_equals_one_pass(seed: int, sizes: list[int]) -> None:
    values = np.random.default_rng(seed).normal(100.0, 3.0, (sum(sizes), 4))
    parts = np.split(values, np.cumsum(sizes)[:-1])
    merged = merge_all(moments_of(part) for part in parts)
    whole = moments_of(values)
    assert merged.values == whole.values
    for name in ("mean", "variance", "minimum", "maximum"):
        np.testing.assert_allclose(getattr(merged, name), getattr(whole, name), rtol=1e-9, atol=1e-9)


def test_nothing_is_neutral() -> None:
    some = moments_of(np.arange(6.0).reshape(3, 2))
    merged = Moments.empty(2).merge(some).merge(Moments.empty(2))
    np.testing.assert_array_equal(merged.mean, some.mean)
    np.testing.assert_array_equal(merged.m2, some.m2)
    assert merged.values == 3


def test_variance_does_not_cancel_far_from_zero() -> None:
    values = 1e9 + np.random.default_rng(0).normal(size=(1000, 1))
    merged = merge_all(moments_of(part) for part in np.split(values, 10))
    assert merged.variance[0] == pytest.approx(values.var(), rel=1e-6)


def test_the_variance_of_nothing_is_nan() -> None:
    assert np.isnan(Moments.empty(2).variance).all()
