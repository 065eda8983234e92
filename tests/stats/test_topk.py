from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from network_atlas.stats.topk import NONE, TopClasses, TopK


def best_of(values: NDArray[np.float32], first: int, k: int, sign: int) -> TopK:
    """Return the best of (channels, examples), numbered from `first`, by sorting all."""
    best = TopK.empty(len(values), k, sign=sign)
    for channel, row in enumerate(values):
        order = sorted(np.flatnonzero(~np.isnan(row)), key=lambda n, v=row: (-sign * v[n], n))[:k]
        best.values[channel, : len(order)] = row[order]
        best.numbers[channel, : len(order)] = np.array(order, np.int64) + first
        best.at[channel, : len(order)] = np.array(order, np.int32) * 3
    return best


def same(first: TopK, second: TopK) -> bool:
    return all(np.array_equal(getattr(first, name), getattr(second, name)) for name in ("values", "numbers", "at"))


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(0, 30), st.integers(1, 8), st.sampled_from([1, -1]))
def test_merging_parts_equals_sorting_everything(seed: int, count: int, cut: int, k: int, sign: int) -> None:
    values = np.random.default_rng(seed).integers(-3, 3, (3, count)).astype(np.float32)  # many ties
    cut = min(cut, count)
    parts = [best_of(values[:, :cut], 0, k, sign), best_of(values[:, cut:], cut, k, sign)]
    parts[1].at[:] += np.where(parts[1].numbers != NONE, 3 * cut, 0)
    whole = best_of(values, 0, k, sign)
    assert same(parts[0].merge(parts[1]), whole)
    assert same(parts[1].merge(parts[0]), whole)


def test_a_channel_below_zero_has_real_top_examples() -> None:
    values = np.array([[-5.0, -3.0, -4.0]], np.float32)
    merged = TopK.empty(1, 2).merge(best_of(values, 0, 2, 1))
    assert merged.values.tolist() == [[-3.0, -4.0]]
    assert merged.numbers.tolist() == [[1, 2]]


def test_empty_entries_are_not_counted() -> None:
    merged = TopK.empty(1, 3).merge(best_of(np.array([[1.0, np.nan]], np.float32), 0, 3, 1))
    assert merged.counts.tolist() == [1]


def classes_of(values: NDArray[np.float32], labels: list[str], first: int, k: int) -> TopClasses:
    """Return the best example of each of the best classes of (channels, examples), by sorting all."""
    known = tuple(sorted(set(labels)))
    best, classes = TopK.empty(len(values), k), np.zeros((len(values), k), np.int32)
    for channel, row in enumerate(values):
        firsts: dict[str, int] = {}
        for n in sorted(range(len(row)), key=lambda n, v=row: (-v[n], n)):
            firsts.setdefault(labels[n], n)
        for rank, (label, n) in enumerate(list(firsts.items())[:k]):
            best.values[channel, rank], best.numbers[channel, rank] = row[n], n + first
            classes[channel, rank] = known.index(label)
    return TopClasses(labels=known, best=best, classes=classes)


@given(st.integers(0, 2**32 - 1), st.integers(2, 25), st.integers(1, 24), st.integers(1, 4))
def test_merging_classes_equals_sorting_everything(seed: int, count: int, cut: int, k: int) -> None:
    generator = np.random.default_rng(seed)
    values = generator.integers(-3, 3, (2, count)).astype(np.float32)
    labels = [f"class {number}" for number in generator.integers(0, 6, count)]
    cut = min(cut, count - 1)
    first = classes_of(values[:, :cut], labels[:cut], 0, k)
    second = classes_of(values[:, cut:], labels[cut:], cut, k)
    whole = classes_of(values, labels, 0, k)
    for merged in (first.merge(second), second.merge(first)):
        assert np.array_equal(merged.best.numbers, whole.best.numbers)
        assert np.array_equal(merged.best.values, whole.best.values)
        filled = whole.best.numbers != NONE
        names = [np.array(part.labels)[part.classes][filled].tolist() for part in (merged, whole)]
        assert names[0] == names[1]


def test_a_part_without_labels_adds_nothing() -> None:
    none = TopClasses(labels=(), best=TopK.empty(1, 2), classes=np.zeros((1, 2), np.int32))
    some = classes_of(np.array([[1.0, 2.0]], np.float32), ["a", "b"], 0, 2)
    for merged in (none.merge(some), some.merge(none)):
        assert merged.best.numbers.tolist() == [[1, 0]]
        assert merged.labels == ("a", "b")
