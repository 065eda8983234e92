from __future__ import annotations

import numpy as np
import pytest
import torch

from network_atlas.layers import LayerSpec
from network_atlas.scan.reducers import FIELDS, Reducer, on_device

NUMBERS = ("spatial_maximum", "spatial_minimum", "spatial_mean", "within")


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
    for name in ("spatial_maximum", "spatial_maximum_at", "spatial_minimum", "spatial_minimum_at"):
        np.testing.assert_array_equal(own[name], torchs[name].numpy())
    np.testing.assert_allclose(own["spatial_mean"], maps.double().mean(dim=(2, 3)).numpy(), rtol=1e-7, atol=1e-7)
    variance = maps.double().flatten(2).var(dim=2, correction=0) * shape[2] * shape[3]
    np.testing.assert_allclose(own["within"], variance.numpy(), rtol=1e-5, atol=1e-5)


def test_reductions_are_float32_of_what_the_layer_computed() -> None:
    maps = torch.randn(2, 3, 4, 5, dtype=torch.bfloat16)
    found = reduced(maps)
    assert found["spatial_maximum"].dtype == np.float32
    np.testing.assert_array_equal(found["spatial_maximum"], maps.float().flatten(2).amax(dim=2).numpy())


def test_a_view_of_another_layout_is_read_right() -> None:
    tokens = torch.randn(2, 7, 5)  # (batch, tokens, channels), as token layers put them out
    maps = tokens.movedim(-1, 1).reshape(2, 5, 7, 1)
    np.testing.assert_array_equal(reduced(maps)["spatial_maximum_at"], tokens.argmax(dim=1).numpy())


def test_what_is_not_a_number_is_seen() -> None:
    maps = torch.zeros(1, 2, 3, 3)
    maps[0, 1, 1, 1] = float("nan")
    found = reduced(maps)
    assert np.isnan([found[name][0, 1] for name in NUMBERS]).all()
    assert not np.isnan([found[name][0, 0] for name in NUMBERS]).any()


@pytest.mark.parametrize("place", range(9))
@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_the_infinite_is_told_from_what_is_not_a_number_wherever_it_stands(value: float, place: int) -> None:
    maps = torch.ones(1, 1, 3, 3)
    maps.view(-1)[place] = value
    found, torchs = reduced(maps), on_device(maps)
    for name, values in torchs.items():
        np.testing.assert_array_equal(found[name], values.numpy(), err_msg=name)
