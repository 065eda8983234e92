"""Convolutions that wait for the sum behind them: which do, their values and gradients, and what they leave alone."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import torchvision
from torch import Tensor, nn

from network_atlas.models.frozen.activations import gradient_through_relu
from network_atlas.models.frozen.freeze import freeze, frozen_forward, is_frozen
from network_atlas.models.frozen.memory_order import onednn_formats
from network_atlas.models.frozen.passes import FrozenPass
from network_atlas.models.frozen.prepared import Frozen
from network_atlas.models.frozen.recording import recorded

IMAGES = torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(0)).contiguous(
    memory_format=torch.channels_last
)


class Block(nn.Module):
    """Maps, and what a convolution makes of them: `+=`, as in a ResNet."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.conv = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.down = nn.Sequential(nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8))
        self.total = nn.Identity()
        self.act = nn.ReLU(inplace=True)
        self.head = nn.Conv2d(8, 4, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.middle(torch.sin(self.stem(images)))).mean((2, 3))

    def middle(self, maps: Tensor) -> Tensor:
        branch = self.norm(self.conv(maps))
        branch += maps
        return self.act(self.total(branch))


class NotInPlace(Block):
    def middle(self, maps: Tensor) -> Tensor:
        return self.act(self.norm(self.conv(maps)) + maps)


class BranchSecond(Block):
    def middle(self, maps: Tensor) -> Tensor:
        return self.act(torch.add(maps, self.conv(maps)))


class NoActivation(Block):
    def middle(self, maps: Tensor) -> Tensor:
        return self.norm(self.conv(maps)) + maps


class Bounded(Block):
    def __init__(self) -> None:
        super().__init__()
        self.act = nn.ReLU6()


class TwoBranches(Block):
    """Both are convolutions, as where a ResNet changes size."""

    def middle(self, maps: Tensor) -> Tensor:
        branch = self.norm(self.conv(maps))
        branch += self.down(maps)
        return self.act(branch)


class CalledForItsEffect(Block):
    """The sum is read by the name of what it changed."""

    def middle(self, maps: Tensor) -> Tensor:
        branch = self.norm(self.conv(maps))
        same = branch
        branch.add_(maps)
        return self.act(same)


class OtherChanges(Block):
    """The other maps are what changes in place."""

    def middle(self, maps: Tensor) -> Tensor:
        other = maps * 2
        other += self.norm(self.conv(maps))
        return self.act(other)


class Broadcast(Block):
    def middle(self, maps: Tensor) -> Tensor:
        return self.act(self.norm(self.conv(maps)) + maps.mean((2, 3), keepdim=True))


class Weighted(Block):
    def middle(self, maps: Tensor) -> Tensor:
        return self.act(torch.add(self.norm(self.conv(maps)), maps, alpha=2))


class Doubled(Block):
    def middle(self, maps: Tensor) -> Tensor:
        branch = self.norm(self.conv(maps))
        return self.act(branch + branch)


class ReadTwice(Block):
    def middle(self, maps: Tensor) -> Tensor:
        branch = self.norm(self.conv(maps))
        return self.act(branch + maps) + branch


class InputChanges(Block):
    """The convolution's input is changed in place before the sum."""

    def middle(self, maps: Tensor) -> Tensor:
        doubled = maps * 2
        with torch.no_grad():
            branch = self.norm(self.conv(doubled))
            doubled.mul_(3)
        return self.act(branch + maps)


WAIT = [Block, NotInPlace, BranchSecond, TwoBranches, CalledForItsEffect]
DO_NOT = [NoActivation, Bounded, OtherChanges, Broadcast, Weighted, Doubled, ReadTwice]


def built(kind: type[nn.Module]) -> nn.Module:
    """Return a network in evaluation mode, with weights and statistics of a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = kind()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
    return model.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def prepared(model: nn.Module, images: Tensor = IMAGES) -> Frozen:
    """Return a network's calls, with sums in float32 too: processors without bfloat16 run the same code then."""
    frozen = Frozen.of(recorded(model, images))
    frozen.formats_of_sums = frozenset((torch.float32, torch.bfloat16))
    return frozen


def passed(model: nn.Module, frozen: Frozen, images: Tensor) -> Tensor:
    run = FrozenPass(frozen)
    with run:
        output: Tensor = model(images)
    run.finish()
    return output


def values_and_gradient(model: nn.Module, frozen: Frozen | None, images: Tensor = IMAGES) -> tuple[Tensor, Tensor]:
    leaf = images.clone().requires_grad_()
    output = (model(leaf) if frozen is None else passed(model, frozen, leaf)).float()
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(3))
    (gradient,) = torch.autograd.grad((output * weights).sum(), leaf)
    return output.detach(), gradient


@pytest.mark.parametrize("kind", WAIT)
def test_a_sum_with_its_convolution_has_its_own_values_and_gradient(kind: type[Block]) -> None:
    model = built(kind)
    frozen = prepared(model)
    assert id(model.conv.weight) in frozen.recording.sums
    for mine, own in zip(values_and_gradient(model, frozen), values_and_gradient(model, None), strict=True):
        torch.testing.assert_close(mine, own, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(passed(model, frozen, IMAGES), model(IMAGES), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", DO_NOT)
def test_a_convolution_waits_for_no_other_sum(kind: type[Block]) -> None:
    model = built(kind)
    frozen = prepared(model)
    assert id(model.conv.weight) not in frozen.recording.sums
    for mine, own in zip(values_and_gradient(model, frozen), values_and_gradient(model, None), strict=True):
        torch.testing.assert_close(mine, own, rtol=1e-4, atol=1e-5)


def test_a_network_that_changes_a_waiting_convolutions_input_is_frozen_without_sums() -> None:
    model, reference = built(InputChanges), built(InputChanges)
    assert freeze(model, IMAGES)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(frozen_forward(model, IMAGES), reference(IMAGES), rtol=0.05, atol=0.05)
    assert is_frozen(model)


def test_a_sum_before_its_activation_is_seen_as_it_is() -> None:
    model = built(Block)
    frozen = prepared(model)
    seen: list[Tensor] = []
    handle = model.total.register_forward_hook(lambda *arguments: seen.append(arguments[-1].clone()))
    model(IMAGES)
    with FrozenPass(frozen, frozen.ends_at([model.total], [])):
        model(IMAGES)
    handle.remove()
    assert seen[0].min() < 0
    torch.testing.assert_close(seen[1], seen[0])


def test_the_output_of_a_convolution_before_a_sum_is_seen_as_it_is() -> None:
    model = built(Block)
    frozen = prepared(model)
    for name in ("conv", "norm"):
        seen: list[Tensor] = []
        module = model.get_submodule(name)
        handle = module.register_forward_hook(lambda *arguments, seen=seen: seen.append(arguments[-1].clone()))
        model(IMAGES)
        with FrozenPass(frozen, frozen.ends_at([module], [])):
            model(IMAGES)
        handle.remove()
        torch.testing.assert_close(seen[1], seen[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_what_is_not_a_number_stays_so_behind_a_sum(number: float) -> None:
    model = built(Block)
    images = IMAGES.clone()
    images[1, 0, 5, 5] = number
    with torch.no_grad():
        output = passed(model, prepared(model), images)
    assert output[1].isnan().all()
    assert output[0].isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_image_has_the_same_bits_at_every_place_of_a_batch(dtype: torch.dtype) -> None:
    if dtype not in onednn_formats():
        pytest.skip(f"this processor has no convolutions in {dtype}")
    model = built(TwoBranches)
    frozen = prepared(model)
    results = []
    for images in (IMAGES, IMAGES.flip(0)):
        leaf = images.contiguous(memory_format=torch.channels_last).requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype is torch.bfloat16):
            values = passed(model, frozen, leaf)
        results.append((values.detach(), torch.autograd.grad(values.float().sum(), leaf)[0]))
    for one, turned in zip(*results, strict=True):
        assert one.flip(0).equal(turned)


class ReadAgain(Block):
    """The sum of one block is read by the next one's convolution, and added there."""

    def __init__(self) -> None:
        super().__init__()
        self.next = nn.Conv2d(8, 8, 3, padding=1)

    def middle(self, maps: Tensor) -> Tensor:
        return self.after(super().middle(maps))

    def after(self, maps: Tensor) -> Tensor:
        return self.act(self.next(maps) + maps)


class ConvolvedAgain(ReadAgain):
    def after(self, maps: Tensor) -> Tensor:
        return self.act(self.next(maps) + self.down(maps))


class ReadThrice(ReadAgain):
    def after(self, maps: Tensor) -> Tensor:
        return self.act(self.next(maps) + maps) + self.down(maps) * maps.mean((2, 3), keepdim=True)


class Watched(ReadAgain):
    """Somebody looks at the sum's whole gradient."""

    def after(self, maps: Tensor) -> Tensor:
        if maps.requires_grad:
            maps.register_hook(lambda gradient: gradient.clamp(min=-0.5))
        return super().after(maps)


def second_outputs(output: Tensor) -> int:
    """Return how many calls behind an output read a sum as its second reader."""
    edges, todo = set(), [output.grad_fn]
    while todo:
        node = todo.pop()
        for before, number in node.next_functions:
            if before is not None and (node, before, number) not in edges:
                edges.add((node, before, number))
                todo.append(before)
    return sum(before.name() == "SumBackward" and number == 1 for _, before, number in edges)


@pytest.mark.parametrize(("kind", "readers"), [(ReadAgain, 1), (ConvolvedAgain, 1), (ReadThrice, 1), (Watched, 0)])
def test_a_sum_that_is_read_again_gets_the_gradients_of_all_readers(kind: type[Block], readers: int) -> None:
    model = built(kind)
    frozen = prepared(model)
    assert id(model.conv.weight) in frozen.recording.sums
    for mine, own in zip(values_and_gradient(model, frozen), values_and_gradient(model, None), strict=True):
        torch.testing.assert_close(mine, own, rtol=1e-4, atol=1e-5)
    assert second_outputs(passed(model, frozen, IMAGES.clone().requires_grad_())) == readers


def test_two_gradients_by_relu_are_their_sums_bit_for_bit() -> None:
    odd = [0.0, -0.0, math.nan, -math.nan, math.inf, -math.inf, 1e-40, -1e-40, 3e38, 1.0, -1.0, 1.0078125, 2.0**-9]
    numbers = torch.tensor(odd).bfloat16()
    grid = torch.cartesian_prod(numbers, numbers, numbers)
    one, other, output = (column.contiguous().view(1, 1, 1, -1) for column in grid.unbind(1))
    both = torch.ops.aten.threshold_backward(one + other, output, 0)
    torch.testing.assert_close(gradient_through_relu(one, other, output), both, rtol=0, atol=0, equal_nan=True)


FAMILIES = ("resnet18", "resnext50_32x4d", "regnet_y_400mf")
"""Small members of torchvision's families with convolutions before sums."""


@pytest.mark.parametrize("name", FAMILIES)
def test_torchvisions_residual_networks_wait_and_have_their_own_numbers(name: str) -> None:
    model = built(lambda: torchvision.models.get_model(name, weights=None))
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    images = images.contiguous(memory_format=torch.channels_last)
    frozen = prepared(model, images)
    assert len(frozen.recording.sums) >= 8
    exact = values_and_gradient(copy.deepcopy(model).double(), None, images.double())
    for mine, true, allowed in zip(values_and_gradient(model, frozen, images), exact, (1e-3, 5e-2), strict=True):
        assert float((mine.double() - true).norm() / true.norm()) < allowed
