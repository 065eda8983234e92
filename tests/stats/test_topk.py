from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.stats.topk import TopK


def scanned(values: NDArray[np.float32], ids: NDArray[np.str_], cuts: list[int], k: int, sign: int) -> TopK:
    """Add (channels, examples) in batches cut at `cuts`; every position tells its example."""
    best = TopK.empty(values.shape[0], k, sign=sign)
    numbers = np.broadcast_to(np.arange(values.shape[1], dtype=np.int32), values.shape)
    for start, stop in zip([0, *cuts], [*cuts, values.shape[1]], strict=True):
        part = slice(start, stop)
        best = best.add(values[:, part], ids[part], numbers[:, part], -numbers[:, part])
    return best


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 30),
    st.lists(st.integers(0, 30), max_size=4),
    st.integers(1, 8),
    st.sampled_from([1, -1]),
)
def test_batches_equal_sorting_everything(seed: int, count: int, cuts: list[int], k: int, sign: int) -> None:
    generator = np.random.default_rng(seed)
    values = generator.integers(-3, 3, (3, count)).astype(np.float32)  # many ties
    ids = np.array([f"image-{number}" for number in generator.permutation(count)])
    best = scanned(values, ids, sorted(min(cut, count) for cut in cuts), k, sign)
    for channel in range(3):
        order = sorted(range(count), key=lambda n: (-sign * values[channel, n], ids[n]))[:k]
        assert best.ids[channel].tolist() == [ids[n] for n in order]
        assert best.values[channel].tolist() == [values[channel, n] for n in order]
        assert best.rows[channel].tolist() == order
        assert best.columns[channel].tolist() == [-n for n in order]


def test_a_channel_below_zero_has_real_top_examples() -> None:
    values = np.array([[-5.0, -3.0, -4.0]], np.float32)
    best = scanned(values, np.array(["a", "b", "c"]), [], 2, 1)
    assert best.values.tolist() == [[-3.0, -4.0]]
    assert best.ids.tolist() == [["b", "c"]]


def test_long_ids_are_not_cut() -> None:
    first = TopK.empty(1, 2).add(*one("a", 1.0))
    both = first.add(*one("a/much/longer/name.jpg", 2.0))
    assert both.ids.tolist() == [["a/much/longer/name.jpg", "a"]]


def test_values_that_are_not_numbers_come_last() -> None:
    best = TopK.empty(1, 1).add(*one("broken", float("nan"))).add(*one("fine", -9.0))
    assert best.ids.tolist() == [["fine"]]


@pytest.mark.parametrize("sign", [1, -1])
def test_merge_does_not_depend_on_order(sign: int) -> None:
    generator = np.random.default_rng(3)
    parts = [
        TopK.empty(2, 3, sign=sign).add(
            generator.integers(0, 4, (2, 5)).astype(np.float32),
            np.array([f"{part}-{number}" for number in range(5)]),
            np.zeros((2, 5), np.int32),
            np.zeros((2, 5), np.int32),
        )
        for part in range(3)
    ]
    forward = parts[0].merge(parts[1]).merge(parts[2])
    backward = parts[2].merge(parts[1].merge(parts[0]))
    assert forward.ids.tolist() == backward.ids.tolist()


def one(name: str, value: float) -> tuple[NDArray[np.float32], NDArray[np.str_], NDArray[np.int32], NDArray[np.int32]]:
    zero = np.zeros((1, 1), np.int32)
    return np.array([[value]], np.float32), np.array([name]), zero, zero
