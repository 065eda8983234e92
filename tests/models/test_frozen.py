"""What a frozen pass merges, what it must leave alone, and that every module's values and gradients stay its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm
from torch.profiler import ProfilerActivity, profile

from network_atlas.models.frozen.freeze import freeze, frozen_forward, is_frozen, way_of_running
from network_atlas.models.frozen.recording import recorded

IMAGES = torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(0)).contiguous(
    memory_format=torch.channels_last
)


class Net(nn.Module):
    """A stem, something of one kind, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.conv = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.act = nn.ReLU(inplace=True)
        self.head = nn.Conv2d(8, 4, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.middle(torch.sin(self.stem(images)))).mean((2, 3))

    def middle(self, maps: Tensor) -> Tensor:
        return self.act(self.norm(self.conv(maps)))


class ReadTwice(Net):
    def middle(self, maps: Tensor) -> Tensor:
        maps = self.conv(maps)
        return self.act(self.norm(maps)) + maps


class ChangedInPlace(Net):
    def middle(self, maps: Tensor) -> Tensor:
        maps = self.conv(maps)
        maps.mul_(2)
        return self.act(self.norm(maps))


class Kept(Net):
    def middle(self, maps: Tensor) -> Tensor:
        self.features = self.norm(self.conv(maps))
        return torch.relu(self.features)

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) + self.features.mean((2, 3))[:, :4]


class Twice(Net):
    def middle(self, maps: Tensor) -> Tensor:
        return self.act(self.norm(self.conv(torch.sin(self.norm(self.conv(maps))))))


class SharedNorm(Net):
    def middle(self, maps: Tensor) -> Tensor:
        return self.act(self.norm(self.conv(self.act(self.norm(maps)))))


class SharedActivation(Net):
    """One module behind several, as in a block of a ResNet."""

    def middle(self, maps: Tensor) -> Tensor:
        return self.act(self.norm(self.conv(self.act(maps))) + maps)


class Residual(Net):
    def middle(self, maps: Tensor) -> Tensor:
        result = self.norm(self.conv(maps))
        result += maps
        return self.act(result)


class Functional(Net):
    def middle(self, maps: Tensor) -> Tensor:
        padded = F.pad(maps, (0, 1, 0, 1))
        maps = F.conv2d(padded, weight=self.conv.weight, stride=2)
        norm = self.norm
        maps = F.batch_norm(maps, norm.running_mean, norm.running_var, norm.weight, norm.bias, False, 0.1, norm.eps)
        return F.relu6(maps, inplace=True)


class NormFirst(Net):
    """Normalization, activation, convolution: as in a DenseNet."""

    def middle(self, maps: Tensor) -> Tensor:
        return self.conv(self.act(self.norm(maps)))


class NoNorm(Net):
    def middle(self, maps: Tensor) -> Tensor:
        return self.act(self.conv(maps))


class Plain(Net):
    """Normalization without weights of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(8, affine=False)


class BatchStatistics(Net):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(8, track_running_stats=False)


class WeightNorm(Net):
    def __init__(self) -> None:
        super().__init__()
        self.conv = weight_norm(self.conv)


class Hooked(Net):
    """A hook of the model's own changes what the convolution returns."""

    def __init__(self) -> None:
        super().__init__()
        self.conv.register_forward_hook(lambda *arguments: arguments[-1] * 2)


class Read(Net):
    """A hook of the model's own only reads."""

    def __init__(self) -> None:
        super().__init__()
        self.conv.register_forward_hook(lambda *arguments: self.seen.append(float(arguments[-1].detach().mean())))
        self.seen: list[float] = []


class OwnBias(Net):
    """A bias that is computed in each pass."""

    def middle(self, maps: Tensor) -> Tensor:
        bias = self.norm.running_mean * 2
        return self.act(F.linear(F.conv2d(maps, self.conv.weight, bias).mT, torch.ones(10, 10), bias.sum().expand(10)))


class Silu(Net):
    def __init__(self) -> None:
        super().__init__()
        self.act = nn.SiLU(inplace=True)


class Depthwise(Net):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 5, stride=2, padding=2, groups=8, padding_mode="reflect")


class Several(Net):
    """The output of the normalization is also one of the model's."""

    def middle(self, maps: Tensor) -> Tensor:
        self.features = self.norm(self.conv(maps))
        return torch.relu(self.features)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return super().forward(images), self.features


class Padded(Net):
    """Padding of its own module before the convolution: the same on all sides."""

    pad: tuple[int, int, int, int] = (1, 1, 1, 1)

    def __init__(self) -> None:
        super().__init__()
        self.pad_module = nn.ZeroPad2d(self.pad)
        self.conv = nn.Conv2d(8, 8, 3, bias=False)

    def middle(self, maps: Tensor) -> Tensor:
        return super().middle(self.pad_module(maps))


class PaddedAtTheEnd(Padded):
    """As TensorFlow pads for strides, which depthwise and dense kernels can take over."""

    pad = (0, 1, 0, 1)

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, stride=2, groups=8, bias=False)


class PaddedUnevenly(PaddedAtTheEnd):
    pad = (1, 2, 0, 3)

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 5, stride=2, groups=8)


class PaddedForThrees(PaddedAtTheEnd):
    pad = (0, 2, 1, 2)

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 5, stride=3, groups=8)


class PaddedAtTheEndDensely(Padded):
    pad = (0, 1, 0, 1)

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, stride=2)


class PaddedAtTheEndInGroups(Padded):
    pad = (0, 1, 0, 1)

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, stride=2, groups=2)


class PaddedWithOnes(Padded):
    def __init__(self) -> None:
        super().__init__()
        self.pad_module = nn.ConstantPad2d(1, 1.0)


class PaddedAndAdded(Padded):
    """The value without its padding is read as well."""

    def middle(self, maps: Tensor) -> Tensor:
        return super().middle(maps) + maps


class PaddedAndReadTwice(Padded):
    def middle(self, maps: Tensor) -> Tensor:
        maps = self.pad_module(maps)
        return self.act(self.norm(self.conv(maps))) + maps[:, :, 1:-1, 1:-1]


class PaddedAndMeasured(Padded):
    def middle(self, maps: Tensor) -> Tensor:
        maps = self.pad_module(maps)
        return self.act(self.norm(self.conv(maps))) / maps.shape[-1]


class PaddedTwice(Padded):
    """One padding of one value, and a convolution that is called again."""

    def middle(self, maps: Tensor) -> Tensor:
        return self.act(self.norm(self.conv(self.pad_module(self.conv(self.pad_module(maps))))))


PADDED = [
    Padded, PaddedAtTheEnd, PaddedUnevenly, PaddedForThrees, PaddedAtTheEndDensely, PaddedAtTheEndInGroups,
    PaddedWithOnes, PaddedAndAdded, PaddedAndReadTwice, PaddedAndMeasured, PaddedTwice,
]  # fmt: skip

NETWORKS = [
    *PADDED, Net, ReadTwice, ChangedInPlace, Kept, Twice, SharedNorm, SharedActivation, Residual, Functional, NormFirst,
    NoNorm, Plain, BatchStatistics, WeightNorm, Hooked, Read, Silu, Depthwise, Several, OwnBias,
]  # fmt: skip


def built(kind: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(1)
    model = kind().eval().requires_grad_(False)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.running_mean, module.running_var, module.weight, module.bias):
                if tensor is not None:
                    tensor.copy_(torch.rand(tensor.shape) + 0.5)
    return model


def outputs_and_gradient(
    model: nn.Module, name: str | None, run: Callable[..., object], dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """Return what a module returns, the model's first output if `name` is None, and the gradient of a sum of it."""
    kept: list[Tensor] = []
    leaf = IMAGES.clone().requires_grad_()
    module = model if name is None else model.get_submodule(name)
    handle = module.register_forward_hook(lambda *arguments: kept.append(first(arguments[-1]).clone()))
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype is torch.bfloat16):
        run(leaf)
    handle.remove()
    output = kept[-1]
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(3))
    (gradient,) = torch.autograd.grad((output.float() * weights).sum(), leaf)
    return output.detach(), gradient


def first(output: Tensor | tuple[Tensor, ...]) -> Tensor:
    return output if isinstance(output, Tensor) else output[0]


@pytest.mark.parametrize("kind", NETWORKS)
def test_every_module_returns_its_own_values_and_has_its_own_gradient(kind: type[Net]) -> None:
    model, reference = built(kind), built(kind)
    assert freeze(model, IMAGES)
    for name in ("pad_module", "conv", "norm", "act", None):
        if name == "pad_module" and not isinstance(model, Padded):
            continue
        outputs = [model if name is None else model.get_submodule(name)]
        try:
            expected = outputs_and_gradient(reference, name, reference)
        except IndexError:  # the module itself is not called
            continue
        received = outputs_and_gradient(
            model, name, lambda images, outputs=outputs: frozen_forward(model, images, outputs=outputs)
        )
        for mine, own in zip(received, expected, strict=True):
            torch.testing.assert_close(mine, own, rtol=1e-4, atol=1e-5)
    assert is_frozen(model)


@pytest.mark.parametrize("kind", NETWORKS)
def test_in_bfloat16_the_numbers_differ_by_its_rounding(kind: type[Net]) -> None:
    model, reference = built(kind), built(kind)
    assert freeze(model, IMAGES)
    exact = outputs_and_gradient(reference, None, reference)
    own = outputs_and_gradient(reference, None, reference, torch.bfloat16)
    received = outputs_and_gradient(model, None, lambda images: frozen_forward(model, images), torch.bfloat16)
    assert received[0].dtype is own[0].dtype
    for mine, theirs, true in zip(received, own, exact, strict=True):
        # A value near zero may be on the other side of a ReLU, which changes a gradient by some percent.
        assert (mine - true).norm() <= 2 * (theirs - true).norm() + 0.1 * true.norm()


def test_what_follows_a_convolution_directly_is_merged_with_it() -> None:
    def merged(kind: type[Net]) -> tuple[bool, bool]:
        model = built(kind)
        recording = recorded(model, IMAGES)  # held: it keeps the tensors alive whose ids it has
        followers = recording.followers.get(id(model.conv.weight))
        return (False, False) if followers is None else (followers.norm is not None, followers.activation is not None)

    assert merged(Net) == merged(Functional) == merged(Plain) == merged(Silu) == merged(Depthwise) == (True, True)
    assert merged(Residual) == merged(SharedActivation) == merged(Kept) == (True, False)
    assert merged(NoNorm) == (False, True)
    for kind in (ReadTwice, ChangedInPlace, Twice, SharedNorm, NormFirst, WeightNorm, Hooked, Read):
        assert merged(kind) == (False, False), kind


class Attention(nn.Module):
    """Tokens that attend to each other, by a module that has the images first or second."""

    def __init__(self, *, batch_first: bool, need_weights: bool, mask: bool = False) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 3, stride=3)
        self.attention = nn.MultiheadAttention(16, 4, batch_first=batch_first)
        self.first, self.need_weights, self.mask, self.head = batch_first, need_weights, mask, nn.Linear(16, 5)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).permute((0, 2, 1) if self.first else (2, 0, 1))
        mask = torch.ones(16, 16).triu(1).bool() if self.mask else None
        mixed, _ = self.attention(tokens, tokens, tokens, need_weights=self.need_weights, attn_mask=mask)
        return self.head(mixed).mean(1 if self.first else 0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("batch_first", "need_weights", "mask"),
    [(True, False, False), (False, False, False), (True, True, False), (True, False, True)],
)
def test_attention_has_its_own_values_and_gradient(
    dtype: torch.dtype, batch_first: bool, need_weights: bool, mask: bool
) -> None:
    def build() -> nn.Module:
        return Attention(batch_first=batch_first, need_weights=need_weights, mask=mask)

    model, reference = built(build), built(build)
    assert freeze(model, IMAGES)
    exact = outputs_and_gradient(reference, None, reference)
    received = outputs_and_gradient(model, None, lambda images: frozen_forward(model, images), dtype)
    for mine, true in zip(received, exact, strict=True):
        assert (mine - true).norm() <= (1e-5 if dtype is torch.float32 else 3e-2) * true.norm()
    with torch.no_grad():
        torch.testing.assert_close(frozen_forward(model, IMAGES), reference(IMAGES))


class Mixing(nn.Module):
    """Tokens that attend to each other, by torch's function alone."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.head = nn.Conv2d(3, 48, 3, stride=3), nn.Linear(16, 5)

    def forward(self, images: Tensor) -> Tensor:
        parts = self.patches(images).flatten(2).transpose(1, 2).unflatten(2, (3, 2, 8)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(parts[0], parts[1], parts[2], scale=0.7)
        return self.head(mixed.transpose(1, 2).flatten(2)).mean(1)


def backward_names(output: Tensor) -> set[str]:
    """Return the names of all functions that the gradient of a tensor goes through."""
    names: set[str] = set()
    waiting = [output.grad_fn]
    while waiting:
        function = waiting.pop()
        if function is not None:
            names.add(function.name())
            waiting += [before for before, _ in function.next_functions]
    return names


def test_attention_in_bfloat16_has_the_gradient_of_float32() -> None:
    model, reference = built(Mixing), built(Mixing)
    assert freeze(model, IMAGES)
    exact = outputs_and_gradient(reference, None, reference)
    received = outputs_and_gradient(model, None, lambda images: frozen_forward(model, images), torch.bfloat16)
    for mine, true in zip(received, exact, strict=True):
        assert (mine - true).norm() <= 2e-2 * true.norm()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = frozen_forward(model, IMAGES.clone().requires_grad_())
    assert "MixBackward" in backward_names(output)


class NotInPlace(Net):
    """Its activation leaves its input as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.ReLU()


class ActivatedTwice(Net):
    """Its activation's input is read again afterwards."""

    def middle(self, maps: Tensor) -> Tensor:
        maps = self.norm(self.conv(maps))
        return torch.relu(maps) - maps


@pytest.mark.parametrize("name", ["norm", "conv"])
def test_an_activation_takes_the_memory_of_a_captured_value_that_it_alone_reads(name: str) -> None:
    def pointers(kind: Callable[[], Net], *, needs_gradient: bool = False) -> tuple[bool, bool]:
        """Say whether the values are the model's own, and whether the activation's output is in its input's memory."""
        model, reference = built(kind), built(kind)
        if name == "conv":
            model.norm = reference.norm = nn.Identity()
        assert freeze(model, IMAGES)
        seen: list[int] = []

        def look(*arguments: Any) -> None:
            with torch._C.DisableTorchFunction():  # as `capture` does
                seen.append(arguments[-1].data_ptr())

        module = model.get_submodule(name)
        module.register_forward_hook(look)
        model.act.register_forward_hook(look)
        with torch.set_grad_enabled(needs_gradient):
            output = frozen_forward(model, IMAGES.clone().requires_grad_(needs_gradient), outputs=[module])
            return torch.allclose(output, reference(IMAGES), atol=1e-6), len(set(seen)) < len(seen)

    assert pointers(NotInPlace) == (True, True)
    assert pointers(NotInPlace, needs_gradient=True) == (True, False)
    assert pointers(ActivatedTwice) == (True, False)


def test_a_convolution_adds_the_zeros_of_a_padding_that_it_alone_reads() -> None:
    def paddings(kind: type[Net], *, seen: str = "") -> int:
        """Return how many paddings run in a frozen pass, of which the output or input of a module is seen."""
        model = built(kind)
        assert freeze(model, IMAGES)
        with profile(activities=[ProfilerActivity.CPU]) as profiled, torch.no_grad():
            frozen_forward(model, IMAGES, outputs=[model.get_submodule(seen)] if seen else [])
        return sum(event.name == "aten::constant_pad_nd" for event in profiled.events())

    for kind in (
        Padded, PaddedAtTheEnd, PaddedUnevenly, PaddedForThrees, PaddedAtTheEndDensely, PaddedAndAdded,
    ):  # fmt: skip
        assert paddings(kind) == 0, kind
        assert paddings(kind, seen="pad_module") == 1, kind
        assert paddings(kind, seen="conv") == 0, kind
    for kind in (PaddedAtTheEndInGroups, PaddedWithOnes, PaddedAndReadTwice, PaddedAndMeasured):
        assert paddings(kind) == 1, kind
    assert paddings(PaddedTwice) == 2


def inputs_of(kind: type[Net], name: str) -> tuple[Tensor, Tensor]:
    """Return what goes into a module in the network's own pass, and in a frozen pass in which it is seen."""
    model = built(kind)
    module = model.get_submodule(name)
    assert freeze(model, IMAGES)
    seen: list[Tensor] = []
    module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    model(IMAGES)
    frozen_forward(model, IMAGES, inputs=[module])
    return seen[0], seen[1]


def test_what_goes_into_a_padded_convolution_is_seen_as_it_is() -> None:
    own, frozen = inputs_of(Padded, "conv")
    assert frozen.shape == own.shape == (2, 8, 14, 14)
    torch.testing.assert_close(frozen, own)


def test_what_goes_into_an_activation_is_seen_as_it_is() -> None:
    own, frozen = inputs_of(Net, "act")
    torch.testing.assert_close(frozen, own)
    assert own.min() < 0


class Switching(Net):
    """Leaves out its normalization for large images."""

    def middle(self, maps: Tensor) -> Tensor:
        maps = self.conv(maps)
        return self.act(maps if maps.abs().max() > 10 else self.norm(maps))


class SwitchingLate(Net):
    """Skips its activation when it is told to, which no value shows."""

    skips = False

    def middle(self, maps: Tensor) -> Tensor:
        maps = self.norm(self.conv(maps))
        return maps if self.skips else self.act(maps)


def test_a_network_that_goes_another_way_runs_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    model, reference = built(SwitchingLate), built(SwitchingLate)
    assert freeze(model, IMAGES)
    model.skips = reference.skips = True
    torch.testing.assert_close(frozen_forward(model, IMAGES), reference(IMAGES))
    assert not is_frozen(model)
    assert "runs as it is from now on" in caplog.text
    assert way_of_running(model).startswith("as it is: ")
    torch.testing.assert_close(frozen_forward(model, IMAGES), reference(IMAGES))


def test_a_network_whose_way_depends_on_values_reads_them_itself() -> None:
    model, reference = built(Switching), built(Switching)
    assert freeze(model, IMAGES)
    for images in (IMAGES, 1000 * IMAGES):
        torch.testing.assert_close(frozen_forward(model, images), reference(images), rtol=1e-4, atol=1e-4)


def test_a_network_whose_numbers_would_differ_is_not_frozen(caplog: pytest.LogCaptureFixture) -> None:
    class Counting(Net):
        calls = 0

        def forward(self, images: Tensor) -> Tensor:
            self.calls += 1
            return super().forward(images) * self.calls

    caplog.set_level("INFO")
    model = built(Counting)
    assert not freeze(model, IMAGES)
    assert not is_frozen(model)
    assert "values would differ" in caplog.text


def test_weights_that_are_not_numbers_stay_so() -> None:
    model, reference = built(Net), built(Net)
    model.conv.weight[0, 0, 0, 0] = reference.conv.weight[0, 0, 0, 0] = float("nan")
    freeze(model, IMAGES)
    assert torch.equal(frozen_forward(model, IMAGES).isnan(), reference(IMAGES).isnan())


def test_nothing_of_the_model_is_changed() -> None:
    model, reference = built(Net), built(Net)
    before = dict(vars(model.conv)), model.state_dict()
    assert freeze(model, IMAGES)
    frozen_forward(model, IMAGES)
    assert vars(model.conv) == before[0]
    assert all(torch.equal(before[1][name], tensor) for name, tensor in model.state_dict().items())
    assert torch.equal(model(IMAGES), reference(IMAGES))


def test_a_frozen_model_is_freed_with_its_last_owner() -> None:
    import gc
    import weakref

    model = built(Net)
    freeze(model, IMAGES)
    frozen_forward(model, IMAGES)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
