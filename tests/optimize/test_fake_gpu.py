"""Tensors of the processor are never mixed with those of a GPU, as far as torch's fake tensors of a GPU can tell.

These have a device and a shape and no values, and refuse what the device refuses. Gradients need a real one: zeros
stand in for them, and backward code of our own is called by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import repeated_blocks
import torch
from conftest import TINY
from optimizing import picture
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode

from network_atlas.config.compose import compose
from network_atlas.layers import LayerSpec
from network_atlas.models.frozen.passes import FrozenPass
from network_atlas.models.frozen.prepared import Frozen
from network_atlas.models.frozen.recording import recorded
from network_atlas.models.prepared import to_channels_last
from network_atlas.optimize import loop
from network_atlas.pictures.parameterizations import parameterization
from network_atlas.pictures.target import Target
from network_atlas.scan.reducers import Reducer
from network_atlas.units import Channel, ClassLogit, ClassProbability, Direction, Layer, Neuron, Sum, Term

BASE = [*TINY, "dataset.root=x"]
GPU = torch.device("cuda")
BLOCK = LayerSpec(index=1, name="blocks.1", type="Residual", channels=8, height=8, width=8)
OUTPUT = LayerSpec(index=2, name="output", type="Maps", channels=5)
RECIPES = {
    "fourier": ["optimize/transform=robust", "optimize.transform.noise_std=0", "optimize.transform.fill=wrap"],
    "pixels": ["optimize/parameterization=pixels", "optimize.gradient=laplacian", "optimize.ascent=l2"],
    "pyramid": ["optimize/parameterization=laplacian_pyramid", "optimize.ascent=nadam"],
    "cppn": ["optimize/parameterization=cppn", "optimize.coarse=.5"],
    "penalties": [
        "optimize.opacity=true",
        "optimize.regularizers=[{name: l1, weight: .1}, {name: l2, weight: .1}, {name: total_variation, weight: .1}, "
        "{name: blur, weight: .1}, {name: bilateral, weight: .1}, {name: border, weight: .1}]",
    ],
}
CHANNEL, LOGIT = Channel(layer="blocks.1", channel=2), ClassLogit(layer="output", channel=3)
UNITS = [
    CHANNEL,
    LOGIT,
    Neuron(layer="blocks.1", channel=1, row=2, column=1),
    Direction(layer="blocks.1", name="two", vector=(1.0, -1.0, *[0.0] * 6), cosine_power=1.0),
    Layer(layer="blocks.1"),
    ClassProbability(layer="output", channel=1),
    Sum(terms=(Term(weight=1.0, unit=CHANNEL), Term(weight=-0.5, unit=LOGIT))),
]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def zeros(_: Tensor, inputs: Sequence[Tensor], **__: Any) -> list[Tensor]:
        return [torch.zeros_like(each) for each in inputs]

    monkeypatch.setattr(torch.autograd, "grad", zeros)
    # Random numbers of a GPU need one; without noise none are drawn there.
    generator_of = loop.generator_of
    monkeypatch.setattr(loop, "generator_of", lambda key, purpose, attempt, *_: generator_of(key, purpose, attempt))
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


def on_gpu() -> nn.Module:
    with GPU:
        model = repeated_blocks.maps()
    to_channels_last(model)
    return model


def target_of(model: nn.Module, *layers: LayerSpec) -> Target:
    return Target(model=model, layers=layers, input=compose(BASE).model.input, device=GPU, takes_half=True)


@pytest.mark.usefixtures("fake")
def test_a_fake_gpu_refuses_a_tensor_of_the_processor() -> None:
    with pytest.raises(RuntimeError, match="device"):
        torch.ones(2, device=GPU) + torch.ones(2)


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize("words", RECIPES.values(), ids=RECIPES)
def test_steps_of_pictures_of_all_kinds_stay_on_the_gpu(words: list[str]) -> None:
    config = compose([*BASE, *words]).optimize
    built = parameterization(config, channels=3, device=GPU)
    recipe = loop.Recipe(config=config, dtype="float32", parameterization=built, slots=64)
    steps = loop._Loop(target_of(on_gpu(), BLOCK, OUTPUT), recipe)
    for unit in UNITS:
        steps.add([picture(unit)])
    with torch.enable_grad():
        steps.step()
        steps.step()
    assert {tensor.device.type for tensor in steps.slots.tensors.values()} == {"cuda"}


@pytest.mark.usefixtures("fake")
def test_frozen_passes_stay_on_the_gpu_both_ways() -> None:
    model = on_gpu()
    images = torch.empty(16, 3, 16, 16, device=GPU).contiguous(memory_format=torch.channels_last)
    frozen = Frozen.of(recorded(model, images))
    with FrozenPass(frozen) as run:
        output = model(images.requires_grad_())
    run.finish()
    assert output.device.type == "cuda"
    assert frozen._kernels
    for kernels in frozen._kernels.values():
        channels = kernels.weight.shape[1] * kernels.geometry.groups
        maps = torch.empty(16, channels, 16, 16, device=GPU)
        assert kernels.backward(kernels.forward(maps, None), maps.shape).shape == maps.shape


@pytest.mark.usefixtures("fake")
def test_a_scan_reduces_maps_on_the_gpu() -> None:
    reducer = Reducer([BLOCK], 64)
    reducer.start([(0, "a"), (3, "b")])
    with torch.no_grad():
        maps = target_of(on_gpu(), BLOCK).maps(torch.empty(64, 3, 16, 16, device=GPU))
    reducer.receive(BLOCK, maps["blocks.1"])
    assert {tensor.device.type for tensor in reducer._on_device["blocks.1"].values()} == {"cuda"}
