from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from network_atlas.stats.sample import (
    QUANTILES,
    Sample,
    are_comparable,
    percentile_of,
    position_of,
    quantiles_of,
    sample_hash,
    sample_limit,
    spectrum,
)

IDS = [f"folder/{number}.jpg" for number in range(50)]


@pytest.mark.parametrize("size", [1, 7, 50, 99])
def test_the_limit_admits_the_sample_size_or_few_more(size: int) -> None:
    ids = [f"{number}.png" for number in range(2000)]
    limit = sample_limit(ids, 10 * size)
    assert 10 * size <= sum(sample_hash(example_id) <= limit for example_id in ids) <= 13 * size + 3
    assert sum(sample_hash(example_id) <= sample_limit(IDS, 1) for example_id in IDS) >= 1


def test_a_dataset_that_grows_keeps_its_sample_for_long() -> None:
    ids = [f"{number}.png" for number in range(2000)]
    limits = [sample_limit(ids[:count], 100) for count in range(101, 2001, 50)]
    assert limits == sorted(limits, reverse=True)
    assert len(set(limits)) <= 4 * 5  # the dataset doubled less than five times


def test_a_sample_larger_than_the_dataset_is_the_dataset() -> None:
    limit = sample_limit(IDS, 500)
    assert all(sample_hash(example_id) <= limit for example_id in IDS)


def test_the_sample_does_not_depend_on_order() -> None:
    assert sample_limit(IDS, 7) == sample_limit(IDS[::-1], 7)


@pytest.mark.parametrize(("score", "expected"), [(0.0, 0.0), (2.5, 50.0), (9.0, 100.0)])
def test_percentile_is_the_share_below(score: float, expected: float) -> None:
    assert percentile_of(score, np.array([1.0, 2.0, 3.0, 4.0], np.float32)) == expected


def test_percentile_of_nothing_is_unknown() -> None:
    assert percentile_of(1.0, np.array([], np.float32)) is None
    assert percentile_of(float("nan"), np.array([1.0], np.float32)) is None


@pytest.mark.parametrize(
    ("values", "size", "expected"),
    [
        ([1.0, 2.0], 0.0, True),
        ([], 0.0, False),
        ([0.0, 0.0], 0.0, False),
        ([0.1, np.nextafter(np.float32(0.1), np.float32(1))], 0.0, False),
        ([-5.0, -5.000001], 0.0, False),
        ([1e-9, 2e-9], 0.0, True),  # small, but so are its numbers
        ([1e-9, 2e-9], 1.0, False),  # the rounding of values around 1
    ],
)
def test_values_that_differ_by_rounding_alone_are_not_comparable(
    values: list[float], size: float, expected: bool
) -> None:
    assert are_comparable(np.array(values, np.float32), size=size) is expected


@given(st.text(min_size=1), st.integers(1, 60), st.integers(1, 60))
def test_vectors_are_never_taken_at_an_edge(name: str, rows: int, columns: int) -> None:
    for coordinate, length in zip(position_of(name, rows, columns), (rows, columns), strict=True):
        assert 0 <= coordinate < length
        if length > 2:
            assert 0 < coordinate < length - 1


def test_vectors_come_from_all_over_the_map() -> None:
    positions = {position_of(f"image-{number}", 7, 7) for number in range(400)}
    assert positions == {(row, column) for row in range(1, 6) for column in range(1, 6)}


def test_the_same_example_has_the_same_place_in_every_layer() -> None:
    (row, column), (fine_row, fine_column) = position_of("a", 9, 9), position_of("a", 72, 72)
    assert abs((fine_row - 1) / 70 - (row - 1) / 7) < 1 / 7
    assert abs((fine_column - 1) / 70 - (column - 1) / 7) < 1 / 7


def test_the_spectrum_has_the_middle_of_each_side() -> None:
    values = np.array([-9.0, -2.0, -1.0, 0.01, 1.0, 2.0, 3.0, 50.0, float("nan")], np.float32)
    kinds = spectrum(values, 1)
    assert {kind: values[indices].tolist() for kind, indices in kinds.items()} == {
        "slightly_positive": [2.0],
        "slightly_negative": [-2.0],
        "zero": [np.float32(0.01)],
    }


def test_the_middle_behind_a_relu_is_that_of_what_responds() -> None:
    values = np.array([0.0] * 90 + [1e-6] * 20 + [1.0, 2.0, 3.0, 4.0, 5.0], np.float32)
    kinds = spectrum(values, 3)
    assert {kind: values[indices].tolist() for kind, indices in kinds.items()} == {
        "slightly_positive": [4.0, 3.0, 2.0],
        "slightly_negative": [],
        "zero": [],  # it is the end of the range, not its middle
    }
    assert {kind: (-values)[indices].tolist() for kind, indices in spectrum(-values, 3).items()} == {
        "slightly_positive": [],
        "slightly_negative": [-2.0, -3.0, -4.0],
        "zero": [],
    }


def test_a_kind_has_no_more_views_of_an_image_than_asked_for() -> None:
    values = np.array([1.0, 1.0, 1.0, 2.0, 5.0, -1.0], np.float32)
    assert spectrum(values, 3, images="aaabcd")["slightly_positive"] == [4, 3, 0]
    assert spectrum(values, 3, images="aaabcd", views=2)["slightly_positive"] == [3, 0, 1]


@given(st.lists(st.floats(-9, 9, width=32), max_size=30), st.integers(0, 5))
def test_an_example_of_the_spectrum_is_of_one_kind_and_of_its_side(values: list[float], k: int) -> None:
    array = np.array(values, np.float32)
    kinds = spectrum(array, k)
    indices = [index for kind in kinds.values() for index in kind]
    assert len(set(indices)) == len(indices)
    assert all(array[index] > 0 for index in kinds["slightly_positive"])
    assert all(array[index] < 0 for index in kinds["slightly_negative"])
    assert all(len(kind) <= k for kind in kinds.values())
    for kind in kinds.values():
        assert array[kind].tolist() == sorted(array[kind].tolist(), reverse=True)


def sample_of(columns: list[list[float]]) -> Sample:
    values = np.array(columns, np.float32).T
    ids = tuple(f"{number:03d}" for number in range(len(values)))
    return Sample(
        ids=ids,
        spatial_mean=values,
        spatial_maximum=values,
        spatial_maximum_at=np.zeros(values.shape, np.int32),
        centre=values,
    )


def test_correlations_are_one_for_what_moves_together_and_nan_for_what_does_not_move() -> None:
    correlations = sample_of([[1, 2, 3], [10, 20, 30], [3, 2, 1], [5, 5, 5]]).correlations()
    assert correlations[0, :3].tolist() == pytest.approx([1, 1, -1])
    assert np.isnan(correlations[3]).all()
    assert np.isnan(correlations[:, 3]).all()


def test_correlations_do_not_depend_on_the_rounding_of_a_processor() -> None:
    values = np.random.default_rng(0).normal(size=50)
    correlations = sample_of([(values * size).tolist() for size in (1.0, 3.0, 0.1, -7.0, 11.0)]).correlations()
    assert np.unique(correlations).tolist() == [-1.0, 1.0]


def test_the_noise_floor_is_a_hundredth_of_the_strongest_maxima_of_the_layer() -> None:
    assert sample_of([[100.0] * 50, [1.0] * 50]).noise_floor() == pytest.approx(1.0)
    assert sample_of([[], []]).noise_floor() == 0.0


def test_quantiles_are_numpys() -> None:
    values = np.random.default_rng(0).normal(size=101).astype(np.float32)
    quantiles = quantiles_of(np.append(values, np.float32("inf")))
    assert [quantile["value"] for quantile in quantiles] == np.quantile(values.astype(np.float64), QUANTILES).tolist()
    assert quantiles_of(values[:0]) == []
