"""Networks whose code makes assumptions of its own: about memory, about its first pass, about its batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from network_atlas.config.compose import compose
from network_atlas.config.schema import ModelConfig
from network_atlas.errors import ModelError
from network_atlas.layers import ModelFacts, split_call
from network_atlas.models.facts import model_facts
from network_atlas.models.load import load_model, on_device

CPU = torch.device("cpu")


class Small(nn.Module):
    """A convolution, `middle`, which a test says more about, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.after = nn.Identity()
        self.head = nn.Linear(6, 5)

    def middle(self, maps: Tensor) -> Tensor:
        return maps

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.head(self.after(self.middle(self.conv(images))).mean((2, 3)))
        return out


class Viewed(nn.Module):
    """Flattens maps and images with `view`, which needs them contiguous."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, stride=2)
        self.head = nn.Linear(6 * 15 * 23 + 3 * 32 * 48, 5)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.conv(images).view(len(images), -1)
        out: Tensor = self.head(torch.cat([maps, images.view(len(images), -1)], 1))
        return out


class Filtered(Small):
    """Views its own weights of four axes as complex numbers, as global filter networks do."""

    def __init__(self) -> None:
        super().__init__()
        self.filter = nn.Parameter(torch.randn(6, 32, 25, 2))

    def middle(self, maps: Tensor) -> Tensor:
        return torch.fft.irfft2(torch.fft.rfft2(maps) * torch.view_as_complex(self.filter), s=maps.shape[-2:])


class Centred(Small):
    """Takes a constant off its images in place, which the caller sees."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images.sub_(0.5))


class Lazy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.LazyConv2d(6, 3)
        self.norm = nn.LazyBatchNorm2d()
        self.head = nn.LazyLinear(5)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.head(self.norm(self.conv(images)).mean((2, 3)))
        return out


class BuiltLate(Small):
    """Makes a layer and a cache when it first runs."""

    def __init__(self) -> None:
        super().__init__()
        self.ramp: Tensor | None = None

    def middle(self, maps: Tensor) -> Tensor:
        if self.ramp is None:
            self.late = nn.Conv2d(6, 6, 1)
            self.ramp = torch.linspace(0, 1, maps.shape[-1])
        out: Tensor = self.late(maps * self.ramp)
        return out


class BuiltAgain(Small):
    def middle(self, maps: Tensor) -> Tensor:
        self.again = nn.Conv2d(6, 6, 1)
        out: Tensor = self.again(maps)
        return out


class BatchStatistics(Small):
    def middle(self, maps: Tensor) -> Tensor:
        return nn.functional.batch_norm(maps, None, None, training=True)


class BatchAttention(Small):
    """Attention that takes the batch for the sequence, an easy mistake."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(6, 2)

    def middle(self, maps: Tensor) -> Tensor:
        tokens = maps.flatten(2).transpose(1, 2)
        return (tokens + self.attention(tokens, tokens, tokens)[0]).transpose(1, 2).reshape(maps.shape)


class SameNoise(Small):
    """The same random numbers in each pass, but others for each place in the batch."""

    def middle(self, maps: Tensor) -> Tensor:
        return maps + torch.randn(maps.shape, generator=torch.Generator().manual_seed(0))


class Drifting(Small):
    """Counts its passes, and computes with the count."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))

    def middle(self, maps: Tensor) -> Tensor:
        self.count += 1
        return maps * (1 + 0.0001 * self.count)


class Scripted(Small):
    def __init__(self) -> None:
        super().__init__()
        self.block = torch.jit.script(nn.Sequential(nn.Conv2d(6, 6, 1), nn.ReLU()))

    def middle(self, maps: Tensor) -> Tensor:
        out: Tensor = self.block(maps)
        return out


class Unhooked(Small):
    """Calls a module's forward, which no hook sees."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Conv2d(6, 6, 1)

    def middle(self, maps: Tensor) -> Tensor:
        return self.block.forward(maps)


class Inference(Small):
    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Conv2d(6, 6, 1)

    def middle(self, maps: Tensor) -> Tensor:
        with torch.inference_mode():
            beside = self.block(maps.detach())
        return maps + beside.clone()


class Checkpointed(Small):
    def __init__(self, *, reentrant: bool) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Conv2d(6, 6, 1), nn.ReLU(), nn.Conv2d(6, 6, 1))
        self.reentrant = reentrant

    def middle(self, maps: Tensor) -> Tensor:
        out: Tensor = checkpoint(self.block, maps, use_reentrant=self.reentrant)
        return out


class Dynamic(Small):
    """A convolution with weights that the image itself decides, each image one group."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Linear(6, 7 * 6 * 9)
        self.head = nn.Linear(7, 5)

    def middle(self, maps: Tensor) -> Tensor:
        batch, channels, rows, columns = maps.shape
        weights = self.weights(maps.mean((2, 3))).view(batch * 7, channels, 3, 3)
        folded = maps.reshape(1, batch * channels, rows, columns)
        return nn.functional.conv2d(folded, weights, padding=1, groups=batch).view(batch, 7, rows, columns)


class OneByOne(Small):
    """Loops over the images, which no rule of an operation follows."""

    def middle(self, maps: Tensor) -> Tensor:
        return torch.stack([picture * 2 for picture in maps])


class Complex(Small):
    def __init__(self) -> None:
        super().__init__()
        self.waves = nn.Conv2d(6, 7, 3, dtype=torch.complex64)
        self.real = nn.Conv2d(7, 6, 1)

    def middle(self, maps: Tensor) -> Tensor:
        out: Tensor = self.real(self.waves(maps.to(torch.complex64)).abs())
        return out


class Masked(Small):
    """Spatial attention: one channel from two that hold no channels."""

    def __init__(self) -> None:
        super().__init__()
        self.mask = nn.Conv2d(2, 1, 7, padding=3)

    def middle(self, maps: Tensor) -> Tensor:
        mask: Tensor = self.mask(torch.cat([maps.mean(1, keepdim=True), maps.amax(1, keepdim=True)], 1))
        return maps * mask.sigmoid()


class Hidden(Small):
    """Keeps a layer in a plain list, where torch does not look for weights."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.hidden = [nn.Conv2d(6, 6, 1), self]

    def middle(self, maps: Tensor) -> Tensor:
        out: Tensor = self.hidden[0](maps)
        return out


class Doubled(Small):
    def middle(self, maps: Tensor) -> Tensor:
        torch.set_default_dtype(torch.float64)
        return maps


def on_meta() -> nn.Module:
    return Small().to("meta")


def reentrant() -> nn.Module:
    return Checkpointed(reentrant=True)


def not_reentrant() -> nn.Module:
    return Checkpointed(reentrant=False)


def config_of(build: Any) -> ModelConfig:
    return compose(
        [
            "dataset=none",
            "model=function",
            f"model.name={build.__module__}:{build.__name__}",
            "model.allow_code=true",
            "model.input.height=32",
            "model.input.width=48",
            "model.input.resize=32",
        ]
    ).model


def facts_of(build: Any) -> ModelFacts:
    config = config_of(build)
    return model_facts(load_model(config), config)


@pytest.mark.parametrize("build", [Viewed, Filtered])
def test_a_network_that_needs_contiguous_memory_computes_what_it_does_by_itself(build: Any) -> None:
    config = config_of(build)
    model = load_model(config)
    plain = build().eval()
    plain.load_state_dict(model.state_dict())
    assert {"conv", "output"} <= {layer.name for layer in model_facts(model, config).layers}
    images = torch.randn(4, 3, 32, 48)
    received = on_device(model, CPU)(images.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(received, plain(images))


def test_a_network_that_writes_into_its_images_gets_copies() -> None:
    config = config_of(Centred)
    model = load_model(config)
    plain = Small().eval()
    plain.load_state_dict(model.state_dict())
    assert model_facts(model, config).unsupported == {}
    images = torch.randn(4, 3, 32, 48)
    before = images.clone()
    torch.testing.assert_close(model(images), plain(before - 0.5))
    assert torch.equal(images, before)


@pytest.mark.parametrize(("build", "layer"), [(Lazy, "head"), (BuiltLate, "late")])
def test_what_is_built_in_the_first_pass_is_a_layer_with_the_same_weights_in_each_process(
    build: Any, layer: str
) -> None:
    config = config_of(build)
    first, second = load_model(config), load_model(config)
    facts = model_facts(first, config)
    assert layer in {spec.name for spec in facts.layers}
    assert facts.upstream == model_facts(second, config).upstream
    assert not any(parameter.requires_grad for parameter in first.parameters())


@pytest.mark.parametrize("build", [BatchStatistics, BatchAttention, SameNoise])
def test_layers_whose_values_depend_on_the_rest_of_the_batch_are_refused(build: Any) -> None:
    facts = facts_of(build)
    assert "conv" in {layer.name for layer in facts.layers}
    assert all("depend on the other images" in facts.unsupported[name] for name in ("after", "head", "output"))


def test_layers_that_drift_from_pass_to_pass_are_refused() -> None:
    assert "two passes over the same images differ" in facts_of(Drifting).unsupported["output"]


@pytest.mark.parametrize(
    ("build", "layer", "shape"),
    [
        (Dynamic, "after", "7 x 32 x 48"),
        (Dynamic, "output", "5"),
        (OneByOne, "output", "5"),
        (Complex, "real", "6 x 30 x 46"),
        (Complex, "output", "5"),
        (Masked, "mask", "1 x 32 x 48"),
        (Masked, "after", "6 x 32 x 48"),
    ],
)
def test_channels_are_where_the_type_or_the_groups_say(build: Any, layer: str, shape: str) -> None:
    spec = next(spec for spec in facts_of(build).layers if spec.name == layer)
    assert (spec.shape, spec.channel_axis) == (shape, 1)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.* is deprecated")
@pytest.mark.parametrize(
    ("build", "layer", "reason"),
    [
        (Scripted, "block.0", "compiled by torch.jit.script"),
        (Unhooked, "block", "is not called as a module"),
        (Inference, "block", "no gradient leads from it"),
    ],
)
def test_a_module_that_no_hook_reads_is_listed_with_the_reason(build: Any, layer: str, reason: str) -> None:
    facts = facts_of(build)
    assert reason in facts.unsupported[layer]
    assert {"conv", "after", "head", "output"} <= {spec.name for spec in facts.layers}


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize(
    ("build", "message"),
    [
        (BuiltAgain, "builds the module 'again' again in each pass"),
        (reentrant, "Leave out torch.utils.checkpoint"),
        (not_reentrant, "Leave out torch.utils.checkpoint"),
        (Doubled, "sets torch's default type to float64"),
        (on_meta, "lies on the device 'meta'"),
    ],
)
def test_a_network_that_can_not_be_right_is_refused_with_the_fix(build: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        facts_of(build)
    assert torch.get_default_dtype() is torch.float32


def test_weights_outside_of_the_modules_tree_count_in_the_hashes() -> None:
    first, second = Hidden(0).eval(), Hidden(1).eval()
    second.load_state_dict(first.state_dict())
    config = config_of(Hidden)
    before, after = model_facts(first, config).upstream, model_facts(second, config).upstream
    assert before["output"] != after["output"]


class EarlyExit(Small):
    """Answers by an early head where the images of the batch excite its first layer enough."""

    def __init__(self) -> None:
        super().__init__()
        self.early, self.late = nn.Linear(6, 5), nn.Conv2d(6, 6, 3)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.conv(images)
        answer: Tensor = self.early(self.after(maps).mean((2, 3)))
        if self.is_sure(maps.detach()):
            return answer
        out: Tensor = self.head(self.late(maps).mean((2, 3)))
        return out

    def is_sure(self, maps: Tensor) -> bool:
        return float(maps.abs().mean()) > 1.0


class Repeats(Small):
    """Runs a layer until its values are small: other numbers of times for other images."""

    def forward(self, images: Tensor) -> Tensor:
        maps = self.conv(images)
        while float(maps.detach().abs().amax()) > 1.0:
            maps = self.after(maps) * 0.5
        out: Tensor = self.head(maps.mean((2, 3)))
        return out


class Alternates(EarlyExit):
    """Leaves early in every second pass."""

    passes = 0

    def is_sure(self, maps: Tensor) -> bool:
        self.passes += 1
        return self.passes % 2 == 0


@pytest.mark.parametrize(
    ("build", "kept"),
    [
        (EarlyExit, ["conv", "after", "early"]),
        (Repeats, ["conv"]),
        (Alternates, ["conv", "after", "early"]),
    ],
)
def test_layers_behind_a_branch_on_values_are_refused(build: Any, kept: list[str]) -> None:
    facts = facts_of(build)
    assert [layer.name for layer in facts.layers] == kept
    refused = {name for name, _ in build().named_children()} - set(kept) | {"output"}
    for name in refused:
        reasons = [reason for layer, reason in facts.unsupported.items() if split_call(layer)[0] == name]
        assert reasons, name
        assert all("which modules run up to it changes from image to image" in reason for reason in reasons), name
