from __future__ import annotations

import numpy as np
import pytest

from pipeline.stats.sample import percentile_of, sample_hash, sample_limit

IDS = [f"folder/{number}.jpg" for number in range(50)]


def test_the_limit_admits_exactly_the_sample_size() -> None:
    limit = sample_limit(IDS, 7)
    assert sum(sample_hash(example_id) <= limit for example_id in IDS) == 7


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
