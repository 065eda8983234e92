"""Running statistics say the same as those of all values at once, however these come in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from network_atlas.stats import kernels
from network_atlas.stats.classes import ClassSums
from network_atlas.stats.histogram import BUCKETS, Histogram, bucket_of
from network_atlas.stats.moments import Moments
from network_atlas.stats.topk import TopClasses, TopK


@given(st.integers(0, 2**16), st.integers(1, 40), st.integers(1, 24), st.integers(1, 12), st.sampled_from([1, -1]))
@settings(deadline=None)  # the first call compiles
def test_lists_of_the_best_are_those_of_sorting(seed: int, count: int, batch: int, k: int, sign: int) -> None:
    generator, channels = np.random.default_rng(seed), kernels.STRIP + 2
    values = generator.integers(-3, 4, (count, channels)).astype(np.float32)  # many ties
    values[generator.random(values.shape) < 0.1] = np.nan
    values[generator.random(values.shape) < 0.1] = -sign * np.inf  # the worst, which has a place while there is room
    at = generator.integers(0, 99, values.shape).astype(np.int32)
    best = TopK.empty(channels, k, sign=sign)
    for start in range(0, count, batch):
        part = slice(start, start + batch)
        best.update(values[part], at[part], np.arange(count, dtype=np.int64)[part] * 2)
    for channel in (0, 1, channels - 1):
        column = values[:, channel]
        order = sorted(np.flatnonzero(~np.isnan(column)), key=lambda n, v=column: (-sign * v[n], n))[:k]
        filled = best.numbers[channel] >= 0
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
    top = TopClasses.empty(2, 3, labels=tuple("abcde"))
    for start in range(0, count, batch):
        part = slice(start, start + batch)
        top.update(values[part], at[part], np.arange(count, dtype=np.int64)[part], classes[part])
    for channel in range(2):
        order = sorted(np.flatnonzero(classes >= 0), key=lambda n, v=values[:, channel]: (-v[n], n))
        firsts = {int(classes[n]): n for n in reversed(order)}
        expected = sorted(firsts.values(), key=lambda n, v=values[:, channel]: (-v[n], n))[:3]
        filled = top.best.numbers[channel] >= 0
        assert top.best.numbers[channel][filled].tolist() == expected
        assert top.classes[channel][filled].tolist() == classes[expected].tolist()


def test_without_labels_no_class_is_listed() -> None:
    top = TopClasses.empty(2, 3, labels=())
    top.update(np.ones((1, 2), np.float32), np.zeros((1, 2), np.int32), np.array([7]), np.array([-1], np.int32))
    assert top.best.counts.tolist() == [0, 0]


@given(st.integers(0, 2**16), st.integers(1, 30), st.integers(1, 7))
@settings(deadline=None)  # the first call compiles
def test_running_moments_are_those_of_all_values(seed: int, count: int, batch: int) -> None:
    generator = np.random.default_rng(seed)
    values = generator.normal(100.0, 3.0, (count, 4)).astype(np.float32)
    values[1:][generator.random((count - 1, 4)) < 0.2] = np.nan  # left out
    moments = Moments.empty(4)
    for start in range(0, count, batch):
        moments.update(values[start : start + batch])
    for channel in range(4):
        exact = values[:, channel].astype(np.float64)
        exact = exact[~np.isnan(exact)]
        distance = exact - exact.mean()
        assert moments.count[channel] == len(exact)
        assert moments.mean[channel] == pytest.approx(exact.mean(), rel=1e-12)
        assert moments.m2[channel] == pytest.approx((distance**2).sum(), rel=1e-9, abs=1e-9)
        assert moments.m3[channel] == pytest.approx((distance**3).sum(), rel=1e-6, abs=1e-6)
        assert moments.minimum[channel] == exact.min()
        assert moments.maximum[channel] == exact.max()
        assert moments.active[channel] == (exact > 0).sum()


def test_moments_merged_with_none_can_be_updated_without_changing_their_parts() -> None:
    part = Moments.empty(1)
    part.update(np.array([[2.0]], np.float32))
    merged = part.merge(Moments.empty(1))
    merged.update(np.array([[4.0]], np.float32))
    assert (merged.mean.tolist(), part.mean.tolist()) == ([3.0], [2.0])


def test_histograms_count_by_the_known_edges() -> None:
    generator = np.random.default_rng(0)
    values = (generator.normal(size=(300, 2)) * 10.0 ** generator.integers(-9, 9, (300, 2))).astype(np.float32)
    values[:4] = [[0.0, -0.0], [np.inf, -np.inf], [1e-30, -1e30], [np.nan, -np.nan]]
    parts = [Histogram.empty(2), Histogram.empty(2)]
    for part, rows in zip(parts, np.split(values, [100]), strict=True):
        part.update(rows)
    merged = parts[0].merge(parts[1])
    for channel in range(2):
        expected = np.bincount(bucket_of(np.delete(values[:, channel], 3)), minlength=BUCKETS)
        np.testing.assert_array_equal(merged.counts[channel], expected)


def test_sums_of_classes_leave_out_examples_without_a_label_and_classes_without_examples() -> None:
    sums = ClassSums.empty((1, 1), labels=("a", "b", "c"))
    for means, labels in (([[1, 2], [3, 4], [5, 6]], [2, -1, 0]), ([[7, np.nan], [np.nan, np.nan]], [2, 1])):
        values = np.array(means, np.float32)
        sums.update(values, 10 * values, np.array(labels, np.int32))
    present = sums.present
    assert present.labels == ("a", "c")
    assert present.counts.tolist() == [[1, 1], [2, 1]]
    assert present.sums.tolist() == [[5, 6], [8, 2]]
    assert present.maximum_sums.tolist() == [[50, 60], [80, 20]]
    assert present.means.tolist() == [[5, 6], [4, 2]]
