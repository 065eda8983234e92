from __future__ import annotations

import numpy as np
import pytest
import torch

from network_atlas.layers import LayerSpec
from network_atlas.scan import reducers
from network_atlas.scan.helpers import NO_HELPERS, Helpers
from network_atlas.scan.reducers import Reducer, on_device
from network_atlas.stats.reduced import FIELDS


def spec(channels: int, rows: int, columns: int) -> LayerSpec:
    return LayerSpec(index=0, name="layer", type="Conv2d", channels=channels, height=rows, width=columns)


def reduced(maps: torch.Tensor, helpers: Helpers = NO_HELPERS) -> dict[str, np.ndarray]:
    reducer = Reducer([spec(*maps.shape[1:])], len(maps), helpers)
    reducer.start([])
    reducer.receive(spec(*maps.shape[1:]), maps)
    reducer.end(len(maps))
    numbers = reducer.taken()
    return {name: getattr(numbers, name) for name in FIELDS}


@pytest.mark.parametrize(
    "shape", [(2, 3, 4, 5), (1, 1, 1, 1), (2, 17, 1, 1), (3, 8, 13, 9), (2, 5, 197, 1), (2, 3, 16, 12)]
)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_compiled_reductions_are_torchs(shape: tuple[int, ...], layout: torch.memory_format) -> None:
    generator = torch.Generator().manual_seed(0)
    maps = torch.randint(-3, 4, shape, generator=generator).float().contiguous(memory_format=layout)  # many ties
    maps = maps + 1000 * (torch.arange(shape[1]) % 2).view(1, -1, 1, 1)  # far from zero: sums must not cancel
    compiled, torchs = reduced(maps), on_device(maps.double())
    for name in ("spatial_maximum", "spatial_maximum_at", "spatial_minimum", "spatial_minimum_at"):
        np.testing.assert_array_equal(compiled[name], torchs[name].numpy())
    np.testing.assert_allclose(compiled["spatial_mean"], maps.double().mean(dim=(2, 3)).numpy(), rtol=1e-7, atol=1e-7)
    variance = maps.double().flatten(2).var(dim=2, correction=0) * shape[2] * shape[3]
    np.testing.assert_allclose(compiled["within"], variance.numpy(), rtol=1e-5, atol=1e-5)


def test_reductions_are_float32_of_what_the_layer_computed() -> None:
    maps = torch.randn(2, 3, 4, 5, dtype=torch.bfloat16)
    numbers = reduced(maps)
    assert numbers["spatial_maximum"].dtype == np.float32
    np.testing.assert_array_equal(numbers["spatial_maximum"], maps.float().flatten(2).amax(dim=2).numpy())


def test_a_view_of_another_layout_is_read_right() -> None:
    tokens = torch.randn(2, 7, 5)  # (batch, tokens, channels), as token layers put them out
    maps = tokens.movedim(-1, 1).reshape(2, 5, 7, 1)
    np.testing.assert_array_equal(reduced(maps)["spatial_maximum_at"], tokens.argmax(dim=1).numpy())


def test_a_map_with_nan_has_nan_for_its_numbers() -> None:
    maps = torch.zeros(1, 2, 3, 3)
    maps[0, 1, 1, 1] = float("nan")
    numbers = reduced(maps)
    assert np.isnan(
        [numbers[name][0, 1] for name in ("spatial_maximum", "spatial_minimum", "spatial_mean", "within")]
    ).all()
    assert not np.isnan(
        [numbers[name][0, 0] for name in ("spatial_maximum", "spatial_minimum", "spatial_mean", "within")]
    ).any()


@pytest.mark.parametrize("position", range(16))
def test_a_value_that_is_not_a_number_is_seen_at_every_position(position: int) -> None:
    maps = torch.ones(1, 2, 4, 4)
    maps[0, 1].view(-1)[position] = float("nan")
    numbers = reduced(maps)
    for name in ("spatial_maximum", "spatial_minimum", "spatial_mean", "within"):
        np.testing.assert_array_equal(np.isnan(numbers[name]), [[False, True]])


@pytest.mark.parametrize("side", [3, 4])
def test_helpers_change_no_bit(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reducers, "SHARED_FROM", 0)
    maps = torch.randn(5, 7, side, side).contiguous(memory_format=torch.channels_last)
    alone, helped = reduced(maps), reduced(maps, Helpers(2))
    for name in FIELDS:
        np.testing.assert_array_equal(alone[name], helped[name])


@pytest.mark.parametrize("position", range(16))
@pytest.mark.parametrize("side", [3, 4])
@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinity_is_distinguished_from_nan_at_every_position(value: float, side: int, position: int) -> None:
    maps = torch.ones(1, 1, side, side)
    maps.view(-1)[position % (side * side)] = value
    numbers, torchs = reduced(maps), on_device(maps)
    for name, values in torchs.items():
        np.testing.assert_array_equal(numbers[name], values.numpy(), err_msg=name)
