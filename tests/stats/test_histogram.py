from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from network_atlas.stats.histogram import BUCKETS, SIDE, Histogram, bucket_of, edges


@given(st.floats(width=32, allow_nan=False))
def test_every_value_lies_between_the_edges_of_its_bucket(value: float) -> None:
    bucket = int(bucket_of(np.array([value], np.float32))[0])
    assert edges()[bucket] <= value <= edges()[bucket + 1]


def test_buckets_rise_with_the_value_and_mirror_at_zero() -> None:
    values = np.array([-1e9, -2.0, -1.0, -1e-9, 0.0, 1e-9, 1.0, 1.1, 1.25, 2.0, 1e9], np.float32)
    buckets = bucket_of(values)
    assert (np.diff(buckets) >= 0).all()
    assert buckets[values == 0.0].item() == SIDE
    assert (bucket_of(-values) == 2 * SIDE - buckets).all()
    assert (buckets[0], buckets[-1]) == (0, BUCKETS - 1)


def test_entries_are_what_is_there_between_the_extremes() -> None:
    values = np.array([0.5, 0.5, 3.1, -0.2], np.float32)
    histogram = Histogram.empty(1)
    histogram.update(values[:, None])
    found = histogram.result(0, float(values.min()), float(values.max()))
    assert [entry["count"] for entry in found] == [1, 2, 1]
    assert all(entry["low"] < entry["high"] for entry in found[1:2])
    assert found[0]["low"] == values.min()
    assert found[-1]["high"] == values.max()
