"""Convolutions by fewer multiplications: torch's own values and gradients in float64, image by image."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from network_atlas.models.frozen.bounds import LARGEST
from network_atlas.models.frozen.calls import Activation
from network_atlas.models.frozen.convolutions import Convolution, Kernels
from network_atlas.models.frozen.geometry import Geometry
from network_atlas.models.frozen.winograd import CHANNELS, Products, pays

RELU = Activation("relu")


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def images(*shape: int, seed: int = 0) -> Tensor:
    return numbers(*shape, seed=seed).contiguous(memory_format=torch.channels_last)


def with_padding(rows: int, columns: int) -> Geometry:
    return Geometry((1, 1), (rows, columns), (1, 1), 1)


@pytest.mark.parametrize("padding", [(0, 0), (1, 1), (2, 0)])
@pytest.mark.parametrize("size", [(12, 16), (9, 23)])
def test_values_and_gradient_are_those_of_the_convolution(padding: tuple[int, int], size: tuple[int, int]) -> None:
    weight, bias, geometry = numbers(CHANNELS + 2, CHANNELS, 3, 3), numbers(CHANNELS + 2), with_padding(*padding)
    maps = images(4, CHANNELS, *size, seed=1)
    assert pays(weight, geometry, maps)
    ours, reference = maps.clone().requires_grad_(), maps.double().requires_grad_()
    output = Convolution.apply(ours, Kernels(weight, bias, geometry), RELU, torch.float32, False)
    exact = torch.conv2d(reference, weight.double(), bias.double(), padding=padding).relu()
    assert output.is_contiguous(memory_format=torch.channels_last)
    weights = numbers(*exact.shape, seed=2)
    (gradient,) = torch.autograd.grad((output * weights).sum(), ours)
    # By the same values that are above zero: one near it may be on the other side by rounding.
    (expected,) = torch.autograd.grad((exact * (weights * (output > 0))).sum(), reference)
    for mine, right in ((output.detach(), exact.detach()), (gradient, expected)):
        assert float((mine - right).norm()) < 1e-5 * float(right.norm())


@pytest.mark.parametrize("geometry", [with_padding(1, 1), Geometry((2, 2), (0, 1), (1, 1), 1, (1, 0))])
@pytest.mark.parametrize("batch", [1, 4])
def test_a_network_may_add_to_the_output_in_place(batch: int, geometry: Geometry) -> None:
    maps = images(batch, CHANNELS, 24, 24).requires_grad_()
    output = Convolution.apply(
        maps, Kernels(numbers(CHANNELS, CHANNELS, 3, 3), None, geometry), None, maps.dtype, False
    )
    output += 1
    output.sum().backward()
    assert maps.grad is not None


def test_an_image_has_the_same_bits_at_each_place_and_whatever_the_others_are() -> None:
    kernels, geometry = Products(numbers(CHANNELS, CHANNELS, 3, 3)), with_padding(1, 1)
    maps = images(4, CHANNELS, 14, 14)
    whole = kernels.convolved(maps, None, geometry)
    order = [2, 0, 3, 1]
    moved = maps[order].contiguous(memory_format=torch.channels_last)
    assert torch.equal(kernels.convolved(moved, None, geometry), whole[order])
    moved[1:] = float("nan")
    changed = kernels.convolved(moved, None, geometry)
    assert torch.equal(changed[0], whole[2])
    assert changed[1:].isnan().all()


def test_values_below_the_bound_do_not_overflow() -> None:
    weight = numbers(CHANNELS, CHANNELS, 3, 3).sign()
    factor = float(weight.abs().flatten(1).sum(dim=1).max())
    # The largest sums inside: by the signs of the first kernel, and by those of a window's own sums.
    for signs in (weight[0].sign().repeat(1, 4, 4), images(1, CHANNELS, 12, 12)[0].sign()):
        maps = (signs * (LARGEST / factor)).expand(4, -1, -1, -1).contiguous(memory_format=torch.channels_last)
        assert Products(weight).convolved(maps, None, with_padding(1, 1)).isfinite().all()


def test_mixed_precision_around_it_changes_nothing() -> None:
    kernels, maps = Products(numbers(CHANNELS, CHANNELS, 3, 3)), images(4, CHANNELS, 12, 12)
    alone = kernels.convolved(maps, None, with_padding(1, 1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(kernels.convolved(maps, None, with_padding(1, 1)), alone)


def test_only_plain_kernels_of_many_channels_on_many_pixels_are_taken() -> None:
    weight, maps = numbers(CHANNELS, CHANNELS, 3, 3), images(4, CHANNELS, 14, 14)
    plain = with_padding(1, 1)
    assert pays(weight, plain, maps)
    assert not pays(weight, plain, maps.bfloat16())
    assert not pays(weight, plain, images(4, CHANNELS, 7, 7))
    assert not pays(weight[: CHANNELS - 1], plain, maps)
    assert not pays(weight[:, :1], Geometry((1, 1), (1, 1), (1, 1), CHANNELS), maps)
    assert not pays(weight, Geometry((2, 2), (1, 1), (1, 1), 1), maps)
    assert not pays(weight, Geometry((1, 1), (2, 2), (2, 2), 1), maps)
    assert not pays(weight, Geometry((1, 1), (1, 1), (1, 1), 1, (1, 1)), maps)
    assert not pays(weight[..., :2], plain, maps)
