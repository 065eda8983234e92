"""Modules that run more than once in a forward pass: each of their calls is a layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from called_again import Itself, Loop, OtherwiseNamed, Pyramid, Residuals, WayOut
from conformance import Checked, check_axes, check_fields, check_frozen, check_values, plain_outputs
from torch import Tensor, nn
from torchvision.models import resnet18

from network_atlas.config.schema import ModelConfig, RunConfig
from network_atlas.layers import ModelFacts
from network_atlas.models.capture import call_of, capture, module_of
from network_atlas.models.facts import model_facts
from network_atlas.models.first_pass import example_input
from network_atlas.models.frozen.freeze import freeze, is_frozen
from network_atlas.models.receptive_field import with_receptive_fields

Build = Callable[[], nn.Module]


def built(build: Build) -> nn.Module:
    torch.manual_seed(0)
    model = build()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):  # other numbers than those that change nothing
            module.running_mean.normal_(std=0.1)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 2.0)  # type: ignore[union-attr]
    return model.eval().requires_grad_(False)


def sized(config: ModelConfig, size: int) -> ModelConfig:
    return replace(config, classes="none", input=replace(config.input, height=size, width=size, resize=size))


def facts_of(model: nn.Module, config: ModelConfig) -> ModelFacts:
    return model_facts(model, sized(config, 16))


@pytest.mark.parametrize(("build", "size"), [(Residuals, 16), (Pyramid, 16), (Loop, 16), (resnet18, 64)])
def test_each_call_is_right_by_plain_hooks(build: Build, size: int, tiny: Callable[..., RunConfig]) -> None:
    model, config = built(build), sized(tiny().model, size)
    facts, checked, images = model_facts(model, config), Checked(), example_input(config.input, 2)
    plain = plain_outputs(model, images)
    assert facts.unsupported == {}
    assert {layer.name for layer in facts.layers} == set(plain)
    check_values(model, facts, images, checked)
    larger = plain_outputs(model, example_input(sized(config, size + 16).input, 2))
    check_axes(model, facts, plain, larger, checked)
    called = [layer for layer in facts.layers if "#" in layer.name][:8]
    assert called
    check_fields(model, called, config, checked)
    check_frozen(model, called, images, checked)
    assert checked.wrong == []


def test_the_calls_of_a_block_are_in_their_order_with_their_numbers(tiny: Callable[..., RunConfig]) -> None:
    facts = facts_of(built(Residuals), tiny().model)
    names = [layer.name for layer in facts.layers]
    assert names[:7] == [
        "stem",
        *(f"blocks.0.{name}" for name in ("conv1", "norm1", "relu#1", "conv2", "norm2", "relu#2")),
    ]
    assert [layer.index for layer in facts.layers] == list(range(len(names)))
    assert facts.bases["blocks.0.relu#2"] == ("ReLU",)
    assert facts.share["blocks.0.relu#1"] < facts.share["blocks.0.relu#2"] <= 1
    assert str(facts.repeats["blocks.0.relu#1"]) == "the channels of blocks.0.norm1"
    assert "blocks.0" not in facts.repeats  # its sum, which the second call returns too, has its name


class Normalized(nn.Module):
    """A convolution and its normalization, both used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.Linear(3, 5)

    def forward(self, images: Tensor) -> Tensor:
        maps = torch.relu(self.norm(self.conv(torch.relu(self.norm(self.conv(images))))))
        logits: Tensor = self.head(maps.mean((2, 3)))
        return logits


def test_each_call_of_a_convolution_is_one_layer_with_its_normalization(tiny: Callable[..., RunConfig]) -> None:
    facts = facts_of(built(Normalized), tiny().model)
    before = {f"conv#{number}": f"the channels of norm#{number}, before their normalization" for number in (1, 2)}
    assert {name: str(repeat) for name, repeat in facts.repeats.items()} == before | {
        "head": "the same tensor as output"
    }


def test_calls_have_their_own_sizes_fields_and_hashes(tiny: Callable[..., RunConfig]) -> None:
    model, config = built(Pyramid), sized(tiny().model, 16)
    facts = model_facts(model, config)
    layers = {layer.name: layer for layer in with_receptive_fields(model, facts.layers, config.input)}
    calls = [layers[f"shared#{number}"] for number in (1, 2, 3)]
    assert [layer.shape for layer in calls] == ["8 x 16 x 16", "8 x 8 x 8", "8 x 4 x 4"]
    assert [layer.receptive_field_px for layer in calls][:2] == [5, 8]
    assert len({facts.upstream[f"{name}#{number}"] for name in ("shared", "tower") for number in (1, 2, 3)}) == 6
    assert not [name for name in facts.repeats if name.startswith("shared")]
    # A tower holds a single convolution: each of its calls has the channels of that one's.
    assert [str(facts.repeats[f"tower#{number}"]) for number in (1, 2, 3)] == [
        f"the channels of tower.0#{number}" for number in (1, 2, 3)
    ]


@pytest.mark.parametrize("traceable", [True, False])
def test_weights_change_the_hashes_from_their_first_call_on(tiny: Callable[..., RunConfig], traceable: bool) -> None:
    class Untraceable(Residuals):
        def forward(self, images: Tensor) -> Tensor:
            assert float(images.detach().sum()) != 0.5
            return super().forward(images)

    model = built(Residuals if traceable else Untraceable)
    before = facts_of(model, tiny().model).upstream
    module_of(model, "blocks.0.conv2").weight.add_(1.0)  # type: ignore[operator, union-attr]
    after = facts_of(model, tiny().model).upstream
    assert before["blocks.0.relu#1"] == after["blocks.0.relu#1"]
    assert before["blocks.0.relu#2"] != after["blocks.0.relu#2"]


def captured(model: nn.Module, facts: ModelFacts, names: list[str], images: Tensor, **how: bool) -> dict[str, Tensor]:
    layers = [layer for layer in facts.layers if layer.name in names]
    maps: dict[str, Tensor] = {}
    with (
        torch.no_grad(),
        capture(model, layers, lambda layer, read: maps.update({layer.name: read.clone()}), **how) as run,
    ):
        run(images)
        run(images)  # counted from 1 again
    return maps


@pytest.mark.parametrize("frozen", [False, True])
def test_the_input_of_an_activation_is_that_of_its_call(tiny: Callable[..., RunConfig], frozen: bool) -> None:
    model, config = built(Residuals), sized(tiny().model, 16)
    facts, images = model_facts(model, config), example_input(config.input, 2)
    plain = plain_outputs(model, images)
    assert not frozen or freeze(model, images)
    names = ["blocks.0.relu#1", "blocks.0.relu#2"]
    maps = captured(model, facts, names, images, before=True, stop=True)
    torch.testing.assert_close(maps[names[0]], plain["blocks.0.norm1"], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(maps[names[1]], plain["blocks.0.norm2"] + plain["stem"], rtol=1e-4, atol=1e-4)
    alone = captured(model, facts, names[1:], images, before=True, stop=True)
    torch.testing.assert_close(alone[names[1]], maps[names[1]], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("stop", [False, True])
def test_a_frozen_pass_that_is_run_anew_counts_anew(tiny: Callable[..., RunConfig], stop: bool) -> None:
    model, config = built(WayOut), sized(tiny().model, 16)
    facts, images = model_facts(model, config), example_input(config.input, 2)
    assert freeze(model, images)
    names = ["relu#1", "relu#2", "relu#3"]
    plain = plain_outputs(model, 1000 * images)
    maps = captured(model, facts, names, 1000 * images, stop=stop)
    assert not is_frozen(model)
    for name in names:
        torch.testing.assert_close(maps[name], plain[name], rtol=1e-4, atol=1e-4)


def test_the_pass_stops_behind_the_call(tiny: Callable[..., RunConfig]) -> None:
    model, config = built(Loop), sized(tiny().model, 16)
    facts, ran = model_facts(model, config), []
    model.get_submodule("step").register_forward_hook(lambda *_: ran.append("step"))
    captured(model, facts, ["step#2"], example_input(config.input, 2), stop=True)
    assert len(ran) <= 2 * 2


def test_the_copy_that_is_kept_is_of_its_call(tiny: Callable[..., RunConfig]) -> None:
    model, config = built(Residuals), sized(tiny().model, 16)
    facts, images = model_facts(model, config), example_input(config.input, 2)
    plain, maps = plain_outputs(model, images), captured(model, facts, ["blocks.1.relu#1"], images, keep=True)
    assert torch.equal(maps["blocks.1.relu#1"], plain["blocks.1.relu#1"])


def test_a_name_with_a_number_sign_stays_its_modules_own(tiny: Callable[..., RunConfig]) -> None:
    model, config = built(OtherwiseNamed), sized(tiny().model, 16)
    facts = model_facts(model, config)
    assert [layer.name for layer in facts.layers] == ["conv#1", "output#1", "output#2", "conv#2", "head", "output"]
    assert facts.unsupported == {"conv#2 (Conv2d)": "has the name of another module"}
    assert call_of(model, "conv#2") == (model.get_submodule("conv#2"), None)
    assert call_of(model, "conv#1") == (model.get_submodule("conv"), 1)
    assert call_of(model, "output#2") == (model.get_submodule("output"), 2)
    images = example_input(config.input, 2)
    plain, maps = plain_outputs(model, images), captured(model, facts, ["conv#1", "conv#2", "output#2"], images)
    assert all(torch.equal(maps[name], plain[name]) for name in ("conv#1", "conv#2", "output#2"))


def test_a_model_that_runs_itself_has_no_output_of_its_own(tiny: Callable[..., RunConfig]) -> None:
    model, config = built(Itself), sized(tiny().model, 16)
    facts, checked = model_facts(model, config), Checked()
    assert facts.unsupported == {"output": "the model runs itself: 2 times in one forward pass"}
    assert [(layer.name, layer.shape) for layer in facts.layers] == [("conv#1", "5 x 16 x 16"), ("conv#2", "5 x 8 x 8")]
    check_values(model, facts, example_input(config.input, 2), checked)
    assert checked.wrong == []
