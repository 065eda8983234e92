"""Activations by tables: every number of bfloat16, beside torch's own in float64."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from network_atlas.models.frozen.calls import Activation
from network_atlas.models.frozen.tables import has_table, tabled

GELU, TANH, SWISH = Activation("gelu", variant="none"), Activation("gelu", variant="tanh"), Activation("swish")
OWN = {
    GELU: F.gelu,
    TANH: lambda maps: F.gelu(maps, approximate="tanh"),
    SWISH: F.silu,
}
NUMBERS = torch.from_numpy(np.arange(1 << 16, dtype=np.uint16)).view(torch.bfloat16)
"""All of them."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def bits(numbers: Tensor) -> list[int]:
    """Return the bits of numbers, those of all NaN alike."""
    numbers = torch.where(numbers.isnan(), torch.nan, numbers.detach())
    return numbers.view(torch.int16).tolist()


def assert_rounded(ours: Tensor, exact: Tensor) -> None:
    """Assert that numbers are the rounding of exact ones, and that those near zero are near.

    There `1 + tanh` cancels in float64 too, so that its last bits, which torch's loops take as they come, are all bits.
    """
    near_zero = exact.abs() < 1e-6
    assert bits(ours[~near_zero]) == bits(exact[~near_zero].float().bfloat16())
    assert (ours[near_zero].double() - exact[near_zero]).abs().max() < 1e-8


@pytest.mark.parametrize("activation", OWN)
def test_values_are_the_rounding_of_the_exact_ones(activation: Activation) -> None:
    assert_rounded(tabled(NUMBERS, activation, in_place=False), OWN[activation](NUMBERS.double()))


@pytest.mark.parametrize("activation", OWN)
def test_gradients_are_the_rounding_of_the_exact_slope_times_the_gradient(activation: Activation) -> None:
    numbers, exact = NUMBERS.clone().requires_grad_(), NUMBERS.double().requires_grad_()
    # Products with these two are exact, so that nothing is rounded but the slopes.
    gradient = torch.tensor([1.0, -0.5], dtype=torch.bfloat16).repeat(1 << 15)
    (ours,) = torch.autograd.grad(tabled(numbers, activation, in_place=False), numbers, gradient)
    (reference,) = torch.autograd.grad(OWN[activation](exact), exact, gradient.double())
    assert_rounded(ours, reference)


@pytest.mark.parametrize("activation", OWN)
def test_torchs_own_differs_by_no_more_than_its_rounding(activation: Activation) -> None:
    numbers = NUMBERS[NUMBERS.isfinite() & (NUMBERS.abs() > 1e-30)]
    ours, own = tabled(numbers, activation, in_place=False).float(), OWN[activation](numbers).float()
    assert (ours - own).abs().le(own.abs() / 128 + 1e-5).all()


def test_products_are_rounded_to_the_nearest_and_of_two_to_the_even() -> None:
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(5000, generator=generator).bfloat16().requires_grad_()
    gradient = torch.randn(5000, generator=generator).bfloat16()
    exact = maps.detach().double().requires_grad_()
    (slopes,) = torch.autograd.grad(F.gelu(exact).sum(), exact)
    (ours,) = torch.autograd.grad(tabled(maps, GELU, in_place=False), maps, gradient)
    assert bits(ours) == bits((gradient.float() * slopes.float()).bfloat16())


def test_maps_with_their_channels_last_keep_that_order_and_so_does_their_gradient() -> None:
    maps = torch.randn(2, 3, 5, 7).bfloat16().contiguous(memory_format=torch.channels_last).requires_grad_()
    output = tabled(maps, SWISH, in_place=False)
    (gradient,) = torch.autograd.grad(output, maps, torch.ones(2, 3, 5, 7, dtype=torch.bfloat16))
    for result in (output, gradient):
        assert result.is_contiguous(memory_format=torch.channels_last)
    assert bits(output.contiguous()) == bits(F.silu(maps.double()).bfloat16().contiguous())


def test_in_place_the_maps_themselves_are_changed_and_the_change_is_counted() -> None:
    leaf = torch.randn(100, generator=torch.Generator().manual_seed(0)).bfloat16().requires_grad_()
    maps = leaf * 1
    changes = maps._version
    result = tabled(maps, SWISH, in_place=True)
    assert result is maps
    assert maps._version > changes
    (ours,) = torch.autograd.grad(maps.sum(), leaf)
    (own,) = torch.autograd.grad(tabled(leaf, SWISH, in_place=False).sum(), leaf)
    assert bits(ours) == bits(own)
    assert bits(maps) == bits(F.silu(leaf.double()).bfloat16())


@pytest.mark.parametrize(
    ("maps", "activation", "in_place"),
    [
        (torch.ones(4), GELU, False),
        (torch.ones(4, 4, dtype=torch.bfloat16).mT[:2], GELU, False),
        (torch.ones(4, dtype=torch.bfloat16), Activation("relu"), False),
        (torch.ones(4, dtype=torch.bfloat16), SWISH, True),
    ],
    ids=["float32", "not dense", "relu", "in place without a gradient"],
)
def test_what_has_no_table_is_left_to_torch(maps: Tensor, activation: Activation, in_place: bool) -> None:
    assert not has_table(maps, activation, in_place=in_place)


def test_several_threads_of_torch_share_its_own_loops() -> None:
    maps = torch.ones(4, dtype=torch.bfloat16)
    assert has_table(maps, GELU, in_place=False)
    torch.set_num_threads(2)
    assert not has_table(maps, GELU, in_place=False)
