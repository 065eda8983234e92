"""Activations run inside of convolutions where no value can become NaN; where one can, it stays NaN."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from network_atlas.models.frozen.bounds import LARGEST, Bounds, activated
from network_atlas.models.frozen.calls import Activation, ConvolutionCall
from network_atlas.models.frozen.convolutions import Convolution, Kernels
from network_atlas.models.frozen.freeze import freeze, frozen_forward
from network_atlas.models.frozen.geometry import geometry_of

RELU, RELU6 = Activation("relu"), Activation("hardtanh", (0.0, 6.0))
IMAGES = torch.randn(3, 3, 12, 12, generator=torch.Generator().manual_seed(0)).contiguous(
    memory_format=torch.channels_last
)


class Net(nn.Module):
    """Convolutions in a row with activations, and one that is added to what it got."""

    def __init__(self, activation: type[nn.Module]) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.wide = nn.Conv2d(16, 32, 1)
        self.deep = nn.Conv2d(32, 32, 3, padding=1, groups=32)
        self.narrow = nn.Conv2d(32, 16, 1)
        self.act = activation()
        for weight in self.parameters():
            weight.data.copy_(torch.randn(weight.shape, generator=generator))
        self.eval().requires_grad_(False).to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.act(self.stem(images))
        return maps + self.narrow(self.act(self.deep(self.act(self.wide(maps)))))


def numbers(model: nn.Module, images: Tensor, *, frozen: bool, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return the output, (images, ...), and the gradient of its sum by the images."""
    images = images.clone().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype is torch.bfloat16):
        output = frozen_forward(model, images) if frozen else model(images)
    return output.detach(), torch.autograd.grad(output.float().sum(), images)[0]


def is_whole(values: Tensor) -> list[bool]:
    return values.isfinite().flatten(1).all(dim=1).tolist()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("activation", [nn.ReLU, nn.ReLU6])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_broken_image_stays_broken_and_the_others_whole(
    value: float, activation: type[nn.Module], dtype: torch.dtype
) -> None:
    model, images = Net(activation), IMAGES.clone()
    images[1, :, 4:9, 4:9] = value
    assert freeze(model, IMAGES)
    output, _ = numbers(model, images, frozen=True, dtype=dtype)
    expected, _ = numbers(model, images, frozen=False, dtype=dtype)
    whole, _ = numbers(model, IMAGES, frozen=True, dtype=dtype)
    assert torch.equal(output.isnan(), expected.isnan())
    assert is_whole(output) == [True, False, True]
    assert torch.equal(output[[0, 2]], whole[[0, 2]])  # the same bits as beside a whole image


@pytest.mark.parametrize("activation", [nn.ReLU, nn.ReLU6])
@pytest.mark.parametrize("broken", ["stem", "wide", "deep"])
def test_broken_weights_give_the_values_that_are_not_numbers_of_the_network_itself(
    broken: str, activation: type[nn.Module]
) -> None:
    for value in (math.nan, math.inf):
        model = Net(activation)
        getattr(model, broken).weight[0, 0, 0, 0] = value
        freeze(model, IMAGES)
        output, _ = numbers(model, IMAGES, frozen=True, dtype=torch.float32)
        expected, _ = numbers(model, IMAGES, frozen=False, dtype=torch.float32)
        assert torch.equal(output.isnan(), expected.isnan())


def test_sums_that_overflow_give_the_values_that_are_not_numbers_of_the_network_itself() -> None:
    model = Net(nn.ReLU)
    for layer in (model.stem, model.wide, model.deep):
        layer.weight.mul_(1e15)
    freeze(model, IMAGES)
    output, _ = numbers(model, IMAGES, frozen=True, dtype=torch.float32)
    expected, _ = numbers(model, IMAGES, frozen=False, dtype=torch.float32)
    assert expected.isnan().any()
    assert torch.equal(output.isnan(), expected.isnan())


class ChangedUncounted(Net):
    """Writes to the memory of maps where torch's count of their changes does not see it."""

    def forward(self, images: Tensor) -> Tensor:
        maps = self.act(self.stem(images))
        values = maps.data if self.by == "data" else torch.from_numpy(maps.detach().numpy())
        values[:, :2].masked_fill_(values[:, :2] > 100, math.nan)  # seldom, so not on the images of the comparison
        return self.narrow(self.act(self.deep(self.act(self.wide(maps)))))

    by = "data"


@pytest.mark.parametrize("by", ["data", "numpy"])
def test_maps_that_a_network_changes_behind_torchs_back_may_hold_what_is_not_a_number(by: str) -> None:
    model = ChangedUncounted(nn.ReLU)
    model.by = by
    assert freeze(model, IMAGES)
    output, _ = numbers(model, 30 * IMAGES, frozen=True, dtype=torch.float32)
    expected, _ = numbers(model, 30 * IMAGES, frozen=False, dtype=torch.float32)
    assert expected.isnan().any()
    assert torch.equal(output.isnan(), expected.isnan())


@pytest.mark.parametrize("activation", [nn.ReLU, nn.ReLU6])
def test_whole_images_need_no_separate_activation(activation: type[nn.Module]) -> None:
    model = Net(activation)
    assert freeze(model, IMAGES)
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        numbers(model, IMAGES, frozen=True, dtype=torch.float32)
    names = {event.key for event in profiled.key_averages()}
    assert "mkldnn::_convolution_pointwise" in names
    assert not names & {"aten::clamp", "aten::clamp_", "aten::relu", "aten::relu_", "aten::clamp_min_"}


def test_in_inference_mode_where_no_changes_are_counted_a_broken_image_stays_broken() -> None:
    model, images = Net(nn.ReLU6), IMAGES.clone()
    images[1] = math.nan
    assert freeze(model, IMAGES)
    with torch.inference_mode():
        assert is_whole(frozen_forward(model, images)) == [True, False, True]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("activation", [RELU, RELU6, Activation("hardtanh", (-0.3, 0.7))])
def test_inside_and_behind_a_convolution_an_activation_gives_the_same_bits(
    activation: Activation, dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(2)
    call = ConvolutionCall(torch.empty(0), torch.randn(8, 3, 3, 3, generator=generator), torch.randn(8), padding=1)
    geometry = geometry_of(call)
    assert geometry is not None
    kernels, results = Kernels(call.weight, call.bias, geometry), []
    for is_finite in (False, True):
        images = IMAGES.clone().requires_grad_()
        output = Convolution.apply(images, kernels, activation, dtype, is_finite)
        results.append((output.detach(), *torch.autograd.grad(output.float().sum(), images)))
    for behind, inside in zip(*results, strict=True):
        assert torch.equal(behind, inside)


@pytest.mark.parametrize("groups", [1, 4])
def test_no_value_lies_beyond_its_bound(groups: int) -> None:
    generator = torch.Generator().manual_seed(3)
    weight, bias = torch.randn(8, 8 // groups, 3, 3, generator=generator), torch.randn(8, generator=generator)
    geometry = geometry_of(ConvolutionCall(torch.empty(0), weight, bias, padding=1, groups=groups))
    assert geometry is not None
    kernels, bounds = Kernels(weight, bias, geometry), Bounds()
    # All of one size, with the signs of one kernel: nothing gives a larger value.
    maps = torch.zeros(1, 8, 3, 3)
    largest = int(weight.abs().flatten(1).sum(dim=1).argmax())
    first = largest // (8 // groups) * (8 // groups)
    maps[0, first : first + 8 // groups] = 5 * weight[largest].sign()
    bound = bounds.behind(maps, kernels, wanted=True)
    value = float(torch.conv2d(maps, weight, bias, padding=1, groups=groups).abs().max())
    assert bound is not None
    assert value <= bound <= 1.1 * value + 2 * float(bias.abs().max())


def test_bounds_follow_maps_until_they_change() -> None:
    bounds, maps = Bounds(), torch.ones(2, 3)
    assert bounds.of(maps) is None
    bounds.note(maps, 2.0)
    assert bounds.of(maps) == 2.0
    total = bounds.sum(torch.add, (maps, maps), {})
    assert 4.0 <= bounds.of(total) < 4.2
    assert bounds.of(bounds.sum(torch.add, (maps, torch.ones(2, 3)), {})) is None
    assert bounds.of(bounds.activation(torch.relu, (maps,), {})) == 2.0
    assert bounds.of(bounds.activation(torch.relu_, (maps,), {})) == 2.0  # changed in place, and known
    assert bounds.of(bounds.activation(torch.nn.functional.relu6, (10 * maps,), {})) is None
    maps.mul_(100)
    assert bounds.of(maps) is None


def test_an_upper_bound_ends_growth_and_what_may_not_be_finite_stays_so() -> None:
    assert activated(1e9, RELU6) == 6.0
    assert activated(1e9, RELU) == 1e9
    assert activated(1e9, None) == 1e9
    assert activated(None, RELU6) is None
    for bound in (math.inf, 2 * LARGEST):
        assert activated(bound, RELU6) == bound
    assert math.isnan(activated(math.nan, RELU6) or 0.0)


def test_maps_are_measured_where_their_bound_has_grown_too_large() -> None:
    bounds, maps = Bounds(), torch.ones(1, 1, 2, 2)
    weight = torch.full((1, 1, 1, 1), 2.0)
    geometry = geometry_of(ConvolutionCall(torch.empty(0), weight))
    assert geometry is not None
    kernels = Kernels(weight, None, geometry)
    bounds.note(maps, LARGEST)
    assert (bounds.behind(maps, kernels, wanted=False) or 0.0) > LARGEST
    assert 2.0 <= (bounds.behind(maps, kernels, wanted=True) or 0.0) < 2.2
    assert bounds.of(maps) == 1.0
