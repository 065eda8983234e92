"""Each statistic's own update, against the same computed over all values at once."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from network_atlas.stats.classes import ClassSums
from network_atlas.stats.histogram import BUCKETS, Histogram, bucket_of
from network_atlas.stats.moments import Moments
from network_atlas.stats.topk import NONE, TopClasses, TopK


@given(st.integers(0, 2**16), st.integers(1, 40), st.integers(1, 7), st.sampled_from([1, -1]))
@settings(deadline=None)  # the first call compiles
def test_lists_of_the_best_are_those_of_sorting(seed: int, count: int, batch: int, sign: int) -> None:
    generator = np.random.default_rng(seed)
    values = generator.integers(-3, 4, (count, 3)).astype(np.float32)
    values[generator.random(values.shape) < 0.1] = np.nan
    at = generator.integers(0, 99, (count, 3)).astype(np.int32)
    best = TopK.empty(3, 4, sign=sign)
    for start in range(0, count, batch):
        part = slice(start, start + batch)
        best.update(values[part], at[part], np.arange(count, dtype=np.int64)[part] * 2)
    for channel in range(3):
        column = values[:, channel]
        order = sorted(np.flatnonzero(~np.isnan(column)), key=lambda n, v=column: (-sign * v[n], n))[:4]
        filled = best.numbers[channel] != NONE
        assert best.numbers[channel][filled].tolist() == [2 * n for n in order]
        assert best.values[channel][filled].tolist() == column[order].tolist()
        assert best.at[channel][filled].tolist() == at[order, channel].tolist()


@given(st.integers(0, 2**16), st.integers(1, 40), st.integers(1, 7))
@settings(deadline=None)  # the first call compiles
def test_lists_of_classes_hold_the_best_example_of_each(seed: int, count: int, batch: int) -> None:
    generator = np.random.default_rng(seed)
    values = generator.integers(-3, 4, (count, 2)).astype(np.float32)
    classes = generator.integers(-1, 5, count).astype(np.int32)
    at = np.zeros((count, 2), np.int32)
    best = TopClasses.empty(2, 3, labels=["a", "b", "c", "d", "e"])
    for start in range(0, count, batch):
        part = slice(start, start + batch)
        ids = np.arange(count, dtype=np.int64)[part]
        best.update(values[part], at[part], ids, classes[part])
    for channel in range(2):
        order = sorted(np.flatnonzero(classes >= 0), key=lambda n, v=values[:, channel]: (-v[n], n))
        firsts = {int(classes[n]): n for n in reversed(order)}
        expected = sorted(firsts.values(), key=lambda n, v=values[:, channel]: (-v[n], n))[:3]
        filled = best.best.numbers[channel] != NONE
        assert best.best.numbers[channel][filled].tolist() == expected
        assert best.classes[channel][filled].tolist() == classes[expected].tolist()


@given(st.integers(0, 2**16), st.integers(1, 30))
@settings(deadline=None)  # the first call compiles
def test_running_moments_are_those_of_all_values(seed: int, count: int) -> None:
    values = np.random.default_rng(seed).normal(100.0, 3.0, (count, 4)).astype(np.float32)
    moments = Moments.empty(4)
    for part in np.array_split(values, 3):
        moments.update(part)
    exact = values.astype(np.float64)
    distance = exact - exact.mean(axis=0)
    np.testing.assert_allclose(moments.mean, exact.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(moments.m2, (distance**2).sum(axis=0), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(moments.m3, (distance**3).sum(axis=0), rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(moments.minimum, exact.min(axis=0))
    np.testing.assert_array_equal(moments.maximum, exact.max(axis=0))


def test_histograms_count_by_the_known_edges() -> None:
    generator = np.random.default_rng(0)
    values = (generator.normal(size=(300, 2)) * 10.0 ** generator.integers(-9, 9, (300, 2))).astype(np.float32)
    values[:3] = [[0.0, -0.0], [np.inf, -np.inf], [1e-30, -1e30]]
    histogram = Histogram.empty(2)
    histogram.update(values)
    for channel in range(2):
        expected = np.bincount(bucket_of(values[:, channel]), minlength=BUCKETS)
        np.testing.assert_array_equal(histogram.counts[channel], expected)


def test_sums_of_classes_leave_out_what_has_no_label() -> None:
    sums = ClassSums.empty(2, ["a", "b", "c"])
    sums.update(np.array([[1, 2], [3, 4], [5, 6]], np.float32), np.array([2, -1, 2], np.int32))
    seen = sums.seen()
    assert (seen.labels, seen.counts.tolist(), seen.sums.tolist()) == (("c",), [2], [[6.0, 8.0]])
