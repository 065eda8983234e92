from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from network_atlas.stats.classes import ClassSums
from network_atlas.stats.moments import Moments


def sums_of(values: dict[str, list[list[float]]]) -> ClassSums:
    """Return the sums of examples per class, each a list of its channels' means; maxima are ten times as large."""
    labels = tuple(sorted(values))
    sums = np.array([np.sum(values[label], axis=0, dtype=np.float64) for label in labels])
    return ClassSums(
        labels=labels,
        sizes=(len(next(iter(values.values()))[0]),),
        counts=np.array([[len(values[label])] for label in labels]),
        sums=sums,
        maximum_sums=10 * sums,
    )


def moments_of(values: dict[str, list[list[float]]]) -> Moments:
    every = np.array([example for examples in values.values() for example in examples], np.float64)
    empty = Moments.empty(every.shape[1])
    m2 = ((every - every.mean(axis=0)) ** 2).sum(axis=0)
    return replace(empty, m2=m2, minimum=every.min(axis=0), maximum=every.max(axis=0))


CLASSES = {"cat": [[1.0, 5.0, 2.0], [1.0, 1.0, 2.0]], "dog": [[3.0, 1.0, 2.0], [3.0, 5.0, 2.0]]}


def test_selectivity_is_one_where_the_class_decides_and_zero_where_it_says_nothing() -> None:
    selectivity = sums_of(CLASSES).selectivity(moments_of(CLASSES))
    assert selectivity is not None
    assert selectivity[:2].tolist() == [1.0, 0.0]
    assert np.isnan(selectivity[2])  # constant


def test_means_that_are_zero_but_for_the_rounding_of_their_maps_have_no_selectivity() -> None:
    values = {"cat": [[1e-7], [2e-7]], "dog": [[-1e-7], [-2e-7]]}
    alone, of_maps = (sums_of(values).selectivity(moments_of(values), size) for size in (0.0, np.array([3.0])))
    assert alone is not None
    assert of_maps is not None
    assert alone[0] == pytest.approx(0.9)
    assert np.isnan(of_maps[0])


@pytest.mark.parametrize("values", [{"cat": [[1.0], [2.0]]}, {"cat": [[1.0]], "dog": [[2.0]]}])
def test_one_class_or_single_examples_say_nothing(values: dict[str, list[list[float]]]) -> None:
    assert sums_of(values).selectivity(moments_of(values)) is None


def test_merging_adds_classes_and_their_examples() -> None:
    first, second = {"cat": [[1.0], [2.0]], "dog": [[3.0]]}, {"dog": [[4.0]], "eel": [[5.0]]}
    merged = sums_of(first).merge(sums_of(second))
    assert merged.labels == ("cat", "dog", "eel")
    assert merged.counts.tolist() == [[2], [2], [1]]
    assert merged.means[:, 0].tolist() == [1.5, 3.5, 5.0]
    assert merged.maximum_sums[:, 0].tolist() == [30.0, 70.0, 50.0]
