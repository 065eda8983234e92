from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import MergeError
from pipeline.stats.merge import check_cover, merge_partials


def partial(start: int, stop: int, channel: int, values: list[float]) -> dict[str, object]:
    array = np.array(values)
    examples = [
        {"example_id": f"{start + n:03d}", "value": value, "row": n, "column": 0} for n, value in enumerate(values)
    ]
    return {
        "start": start,
        "stop": stop,
        "channel": channel,
        "count": len(values),
        "values": len(values),
        "mean": array.mean(),
        "m2": ((array - array.mean()) ** 2).sum(),
        "minimum": array.min(),
        "maximum": array.max(),
        "top": sorted(examples, key=lambda e: (-e["value"], e["example_id"]))[:3],
        "bottom": sorted(examples, key=lambda e: (e["value"], e["example_id"]))[:3],
        "sample_mean": values,
        "sample_maximum": values,
    }


def partials() -> list[dict[str, object]]:
    generator = np.random.default_rng(0)
    spans = [(0, 4), (4, 8), (8, 10)]
    return [
        partial(start, stop, channel, generator.integers(-5, 5, stop - start).astype(float).tolist())
        for start, stop in spans
        for channel in (0, 1)
    ]


def merge(rows: list[dict[str, object]]) -> object:
    return merge_partials(rows, examples=10, top_k=3, bottom_k=2)


@given(st.permutations(range(6)))
def test_merging_is_order_free_to_the_last_bit(order: list[int]) -> None:
    rows = partials()
    before, after = merge(rows), merge([rows[number] for number in order])
    assert repr(before) == repr(after)


def test_merged_examples_are_the_best_of_all() -> None:
    rows = partials()
    merged = merge_partials(rows, examples=10, top_k=3, bottom_k=2)[1]
    values = [value for row in rows if row["channel"] == 1 for value in row["sample_mean"]]
    assert [example["value"] for example in merged.top] == sorted(values, reverse=True)[:3]
    assert [example["value"] for example in merged.bottom] == sorted(values)[:2]
    assert merged.count == 10
    assert merged.variance == pytest.approx(np.var(values))


@pytest.mark.parametrize(
    ("spans", "words"),
    [
        ([(0, 4), (6, 10)], "no partial covers the examples 4..6"),
        ([(0, 6), (4, 10)], "two partials cover the examples 4..6"),
        ([(0, 4), (4, 8)], "cover 8 examples, the dataset has 10"),
        ([], "cover 0 examples"),
    ],
)
def test_a_gap_or_an_overlap_is_named(spans: list[tuple[int, int]], words: str) -> None:
    with pytest.raises(MergeError, match=words):
        check_cover(spans, 10)
