from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from network_atlas.layers import LayerSpec
from network_atlas.scan import kernels
from network_atlas.scan.reducers import FIELDS, Reducer, on_device
from network_atlas.stats import histogram
from network_atlas.stats.moments import Moments


def spec(channels: int, rows: int, columns: int) -> LayerSpec:
    return LayerSpec(index=0, name="layer", type="Conv2d", channels=channels, height=rows, width=columns)


def reduced(maps: torch.Tensor) -> dict[str, np.ndarray]:
    reducer = Reducer([spec(*maps.shape[1:])], len(maps))
    reducer.start([])
    reducer.receive(spec(*maps.shape[1:]), maps)
    reducer.end(len(maps))
    found = reducer.taken()
    return {name: getattr(found, name) for name in FIELDS}


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 1, 1, 1), (2, 17, 1, 1), (3, 8, 13, 9), (2, 5, 197, 1)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_compiled_reductions_are_torchs(shape: tuple[int, ...], layout: torch.memory_format) -> None:
    generator = torch.Generator().manual_seed(0)
    maps = torch.randint(-3, 4, shape, generator=generator).float().contiguous(memory_format=layout)  # many ties
    maps = maps + 1000 * (torch.arange(shape[1]) % 2).view(1, -1, 1, 1)  # far from zero: sums must not cancel
    own, torchs = reduced(maps), on_device(maps.double())
    for name in ("peak", "peak_at", "trough", "trough_at"):
        np.testing.assert_array_equal(own[name], torchs[name].numpy())
    np.testing.assert_allclose(own["mean"], maps.double().mean(dim=(2, 3)).numpy(), rtol=1e-7, atol=1e-7)
    variance = maps.double().flatten(2).var(dim=2, correction=0) * shape[2] * shape[3]
    np.testing.assert_allclose(own["within"], variance.numpy(), rtol=1e-5, atol=1e-5)


def test_reductions_are_float32_of_what_the_layer_computed() -> None:
    maps = torch.randn(2, 3, 4, 5, dtype=torch.bfloat16)
    found = reduced(maps)
    assert found["peak"].dtype == np.float32
    np.testing.assert_array_equal(found["peak"], maps.float().flatten(2).amax(dim=2).numpy())


def test_a_view_of_another_layout_is_read_right() -> None:
    tokens = torch.randn(2, 7, 5)  # (batch, tokens, channels), as token layers put them out
    maps = tokens.movedim(-1, 1).reshape(2, 5, 7, 1)
    np.testing.assert_array_equal(reduced(maps)["peak_at"], tokens.argmax(dim=1).numpy())


def test_what_is_not_a_number_is_seen() -> None:
    maps = torch.zeros(1, 2, 3, 3)
    maps[0, 1, 1, 1] = float("nan")
    found = reduced(maps)
    assert np.isnan([found[name][0, 1] for name in ("peak", "trough", "mean", "within")]).all()
    assert not np.isnan([found[name][0, 0] for name in ("peak", "trough", "mean", "within")]).any()


@pytest.mark.parametrize("place", range(9))
@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_the_infinite_is_told_from_what_is_not_a_number_wherever_it_stands(value: float, place: int) -> None:
    maps = torch.ones(1, 1, 3, 3)
    maps.view(-1)[place] = value
    found, torchs = reduced(maps), on_device(maps)
    for name, values in torchs.items():
        np.testing.assert_array_equal(found[name], values.numpy(), err_msg=name)


@given(st.integers(0, 2**16), st.integers(1, 40), st.integers(1, 7), st.sampled_from([1, -1]))
@settings(deadline=None)  # the first call compiles
def test_lists_of_the_best_are_those_of_sorting(seed: int, count: int, batch: int, sign: int) -> None:
    generator = np.random.default_rng(seed)
    values = generator.integers(-3, 4, (count, 3)).astype(np.float32)
    values[generator.random(values.shape) < 0.1] = np.nan
    at = generator.integers(0, 99, (count, 3)).astype(np.int32)
    best, numbers = np.full((3, 4), -sign * np.inf, np.float32), np.full((3, 4), -1, np.int64)
    places = np.zeros((3, 4), np.int32)
    for start in range(0, count, batch):
        part = slice(start, start + batch)
        own = np.arange(count, dtype=np.int64)[part] * 2
        kernels.add_best(values[part], at[part], own, sign, best, numbers, places)
    for channel in range(3):
        column = values[:, channel]
        order = sorted(np.flatnonzero(~np.isnan(column)), key=lambda n, v=column: (-sign * v[n], n))[:4]
        found = numbers[channel] >= 0
        assert numbers[channel][found].tolist() == [2 * n for n in order]
        assert best[channel][found].tolist() == column[order].tolist()
        assert places[channel][found].tolist() == at[order, channel].tolist()


@given(st.integers(0, 2**16), st.integers(1, 40), st.integers(1, 7))
@settings(deadline=None)  # the first call compiles
def test_lists_of_classes_hold_the_best_example_of_each(seed: int, count: int, batch: int) -> None:
    generator = np.random.default_rng(seed)
    values = generator.integers(-3, 4, (count, 2)).astype(np.float32)
    classes = generator.integers(-1, 5, count).astype(np.int32)
    at = np.zeros((count, 2), np.int32)
    best, numbers = np.full((2, 3), -np.inf, np.float32), np.full((2, 3), -1, np.int64)
    places, own = np.zeros((2, 3), np.int32), np.zeros((2, 3), np.int32)
    for start in range(0, count, batch):
        part = slice(start, start + batch)
        ids = np.arange(count, dtype=np.int64)[part]
        kernels.add_class_best(values[part], at[part], ids, classes[part], best, numbers, places, own)
    for channel in range(2):
        order = sorted(np.flatnonzero(classes >= 0), key=lambda n, v=values[:, channel]: (-v[n], n))
        firsts = {int(classes[n]): n for n in reversed(order)}
        expected = sorted(firsts.values(), key=lambda n, v=values[:, channel]: (-v[n], n))[:3]
        found = numbers[channel] >= 0
        assert numbers[channel][found].tolist() == expected
        assert own[channel][found].tolist() == classes[expected].tolist()


@given(st.integers(0, 2**16), st.integers(1, 30))
@settings(deadline=None)  # the first call compiles
def test_running_moments_are_those_of_all_values(seed: int, count: int) -> None:
    values = np.random.default_rng(seed).normal(100.0, 3.0, (count, 4)).astype(np.float32)
    empty = Moments.empty(4)
    arrays = [getattr(empty, name).copy() for name in ("mean", "m2", "m3", "minimum", "maximum", "active")]
    kernels.add_moments(values, 0, *arrays)
    exact = values.astype(np.float64)
    distance = exact - exact.mean(axis=0)
    np.testing.assert_allclose(arrays[0], exact.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(arrays[1], (distance**2).sum(axis=0), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(arrays[2], (distance**3).sum(axis=0), rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(arrays[3], exact.min(axis=0))
    np.testing.assert_array_equal(arrays[4], exact.max(axis=0))


def test_histograms_count_by_the_known_edges() -> None:
    generator = np.random.default_rng(0)
    values = (generator.normal(size=(300, 2)) * 10.0 ** generator.integers(-9, 9, (300, 2))).astype(np.float32)
    values[:3] = [[0.0, -0.0], [np.inf, -np.inf], [1e-30, -1e30]]
    counts = np.zeros((2, histogram.BUCKETS), np.uint32)
    kernels.add_histogram(values.view(np.uint32), counts, histogram.FIRST, histogram.SHIFT, histogram.SIDE)
    for channel in range(2):
        expected = np.bincount(histogram.bucket_of(values[:, channel]), minlength=histogram.BUCKETS)
        np.testing.assert_array_equal(counts[channel], expected)
