"""A convolution's own output and gradient, by torch in float64, for kernels of all kinds."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from network_atlas.models.frozen.calls import Activation, ConvolutionCall
from network_atlas.models.frozen.convolutions import Convolution, Kernels
from network_atlas.models.frozen.geometry import Geometry, geometry_of
from network_atlas.models.frozen.norms import Factors

RELU6 = Activation("hardtanh", (0.0, 6.0))
PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))


def calls(kernel: tuple[int, int], groups: int, channels: int, **given: object) -> ConvolutionCall:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(2 * channels, channels // groups, *kernel, generator=generator)
    return ConvolutionCall(
        torch.empty(0), weight, torch.randn(2 * channels, generator=generator), groups=groups, **given
    )


def differences(
    call: ConvolutionCall, images: Tensor, activation: Activation | None = None, dtype: torch.dtype = torch.float32
) -> tuple[float, float]:
    """Return the largest relative differences of the output and of the gradient from torch's own in float64."""
    geometry = geometry_of(call)
    assert geometry is not None
    ours = images.clone().requires_grad_()
    output = Convolution.apply(ours, Kernels(call.weight, call.bias, geometry), activation, dtype, False)
    reference = images.double().requires_grad_()
    exact = torch.conv2d(reference, *(value.double() if isinstance(value, Tensor) else value for value in call[1:]))
    if activation is not None:
        exact = exact.clamp(*activation.numbers)
    weights = torch.randn(exact.shape, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad((output.float() * weights).sum(), ours)
    (expected,) = torch.autograd.grad((exact * weights.double()).sum(), reference)
    assert gradient.shape == images.shape
    return relative(output, exact), relative(gradient, expected)


def relative(mine: Tensor, exact: Tensor) -> float:
    mine, exact = mine.detach().double(), exact.detach()
    size = float(exact.norm())
    return float((mine - exact).norm()) / size if size else float(mine.norm())


@settings(max_examples=150)
@given(
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    stride=PAIRS,
    padding=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    dilation=PAIRS,
    groups=st.sampled_from([1, 2, 6]),
    size=st.tuples(st.integers(5, 14), st.integers(5, 14)),
    channels_last=st.booleans(),
)
def test_any_kernel_has_its_own_output_and_gradient(
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
    size: tuple[int, int],
    channels_last: bool,
) -> None:
    reach = [step * (taps - 1) + 1 for step, taps in zip(dilation, kernel, strict=True)]
    assume(all(pixels + 2 * zeros >= taps for pixels, zeros, taps in zip(size, padding, reach, strict=True)))
    call = calls(kernel, groups, 6, stride=stride, padding=padding, dilation=dilation)
    images = torch.randn(2, 6, *size, generator=torch.Generator().manual_seed(2))
    order = torch.channels_last if channels_last else torch.contiguous_format
    assert max(differences(call, images.contiguous(memory_format=order))) < 1e-5


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 1)])
@pytest.mark.parametrize("groups", [1, 6])
def test_maps_smaller_than_a_stride_have_a_gradient_too(groups: int, size: tuple[int, int]) -> None:
    images = torch.randn(2, 6, *size, generator=torch.Generator().manual_seed(2))
    for kernel, stride, padding in ((3, 2, 1), (5, 4, 2), (2, 3, 1)):
        call = calls((kernel, kernel), groups, 6, stride=stride, padding=padding)
        assert max(differences(call, images.contiguous(memory_format=torch.channels_last))) < 1e-5


@pytest.mark.parametrize("kernel", [3, 4, 7])
@pytest.mark.parametrize("stride", [2, 4])
@pytest.mark.parametrize("padding", [0, 1, 3])
def test_the_gradient_of_images_comes_from_one_convolution(kernel: int, stride: int, padding: int) -> None:
    call = calls((kernel, kernel), 1, 3, stride=stride, padding=min(padding, kernel - 1))
    images = torch.randn(2, 3, 21, 24, generator=torch.Generator().manual_seed(2))
    assert max(differences(call, images.contiguous(memory_format=torch.channels_last))) < 1e-5


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_padding_by_name(padding: str) -> None:
    images = torch.randn(2, 6, 9, 9, generator=torch.Generator().manual_seed(2))
    assert max(differences(calls((3, 5), 1, 6, padding=padding, dilation=2), images)) < 1e-5


def test_padding_that_differs_between_the_sides_is_left_to_torch() -> None:
    assert geometry_of(calls((2, 2), 1, 6, padding="same")) is None


@pytest.mark.parametrize("surplus", [(0, 0), (1, 0), (1, 1)])
@pytest.mark.parametrize("batch", [1, 4])
def test_a_network_may_add_to_the_output_in_place(batch: int, surplus: tuple[int, int]) -> None:
    """Torch forbids it for a view, and the whole network then ran as it is: ResNets add their shortcuts so."""
    maps = torch.randn(batch, 6, 8, 8).contiguous(memory_format=torch.channels_last).requires_grad_()
    geometry = Geometry((2, 2), (0, 1), (1, 1), 1, surplus)
    output = Convolution.apply(maps, Kernels(torch.randn(6, 6, 3, 3), None, geometry), None, torch.float32, False)
    output += 1
    output.sum().backward()
    assert maps.grad is not None


def test_an_activation_lets_gradient_through_where_it_is_between_its_bounds() -> None:
    images = 3 * torch.randn(2, 6, 9, 9, generator=torch.Generator().manual_seed(2))
    assert max(differences(calls((3, 3), 1, 6, padding=1), images, RELU6)) < 1e-5


@pytest.mark.parametrize(("groups", "stride"), [(1, 1), (1, 2), (6, 1), (6, 2)])
def test_bfloat16_differs_by_its_rounding(groups: int, stride: int) -> None:
    images = torch.randn(2, 6, 12, 12, generator=torch.Generator().manual_seed(2))
    images = images.contiguous(memory_format=torch.channels_last)
    call = calls((3, 3), groups, 6, padding=1, stride=stride)
    assert max(differences(call, images, dtype=torch.bfloat16)) < 1e-2


def test_a_value_that_is_not_a_number_stays_one_behind_an_activation() -> None:
    images = torch.full((1, 6, 4, 4), float("nan")).contiguous(memory_format=torch.channels_last)
    call = calls((1, 1), 1, 6)
    geometry = geometry_of(call)
    assert geometry is not None
    for activation in (
        Activation("relu"),
        RELU6,
        Activation("swish"),
        Activation("hardswish"),
        Activation("gelu", variant="none"),
    ):
        assert Kernels(call.weight, call.bias, geometry).forward(images, activation).isnan().all(), activation


def test_a_normalization_is_folded_into_the_weights_before_it() -> None:
    generator = torch.Generator().manual_seed(0)
    norm = torch.nn.BatchNorm2d(12).eval()
    for tensor in (norm.running_mean, norm.weight.data, norm.bias.data):
        tensor.copy_(torch.randn(12, generator=generator))
    norm.running_var.copy_(torch.rand(12, generator=generator) + 0.1)
    call, images = calls((3, 3), 1, 6), torch.randn(2, 6, 8, 8, generator=generator)
    factors = Factors(norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt(), torch.empty(0))
    shift = norm.bias.double() - norm.running_mean.double() * factors.scale
    weight, bias = Factors(factors.scale, shift).folded(call.weight, call.bias)
    expected = norm(torch.conv2d(images, call.weight, call.bias))
    torch.testing.assert_close(torch.conv2d(images, weight, bias), expected, rtol=1e-4, atol=1e-5)
