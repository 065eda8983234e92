from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_network import build
from torch import nn

from pipeline.config.recipe import OptimizeConfig
from pipeline.config.schema import RunConfig
from pipeline.models.layers import model_facts
from pipeline.optimize.loop import Target, measure, optimize, quantize
from pipeline.optimize.worker import status_of
from pipeline.plan.tasks import Picture
from pipeline.units import OUTPUT, Channel, ClassLogit, Neuron, Unit, fingerprint

GREY_START = np.full((1, 16, 16, 3), 128, np.uint8)


def picture(unit: Unit, objective: str, *, sign: int = 1, seed: int = 0) -> Picture:
    key = fingerprint(unit, objective, sign, seed)
    return Picture(key=key, unit=unit, variant="test", objective=objective, sign=sign, seed=seed)


def channels(layer: str, numbers: Sequence[int]) -> list[Picture]:
    return [picture(Channel(layer=layer, channel=number), "channel") for number in numbers]


@pytest.fixture
def target(tiny: Callable[..., RunConfig]) -> Callable[[str], Target]:
    model, config = build(), tiny().model
    layers = {layer.name: layer for layer in model_facts(model, config).layers}

    def make(name: str) -> Target:
        return Target(model=model, layer=layers[name], input=config.input, device=torch.device("cpu"))

    return make


@pytest.fixture
def recipe(tiny: Callable[..., RunConfig]) -> OptimizeConfig:
    return tiny("optimize.steps=24").optimize


CASES = [
    ("conv2", Channel(layer="conv2", channel=1), "channel"),
    ("conv2", Neuron(layer="conv2", channel=1, row=4, column=4), "neuron"),
    (OUTPUT, ClassLogit(layer=OUTPUT, channel=2), "logit"),
]


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("layer", "unit", "objective"), CASES)
def test_every_objective_goes_where_its_sign_points(
    target: Callable[[str], Target], recipe: OptimizeConfig, layer: str, unit: Unit, objective: str, sign: int
) -> None:
    wanted = [picture(unit, objective, sign=sign)]
    start = measure(target(layer), GREY_START, wanted)[0]
    end = measure(target(layer), optimize(target(layer), wanted, recipe, "float32"), wanted)[0]
    assert sign * end > sign * start + 0.05


@pytest.mark.parametrize("size", [8, 32])
def test_a_picture_alone_and_in_a_batch_agree(
    target: Callable[[str], Target], recipe: OptimizeConfig, size: int
) -> None:
    numbers = [number % 12 for number in range(size)]
    batch = optimize(target("conv2"), channels("conv2", numbers), recipe, "float32")
    alone = optimize(target("conv2"), channels("conv2", [5]), recipe, "float32")
    difference = batch[5].astype(int) - alone[0].astype(int)
    assert np.abs(difference).max() <= 1


def test_a_dead_unit_neither_changes_nor_is_changed_by_its_neighbours(
    target: Callable[[str], Target], recipe: OptimizeConfig
) -> None:
    with_dead = optimize(target("conv2"), channels("conv2", [2, 1]), recipe, "float32")
    without = optimize(target("conv2"), channels("conv2", [1]), recipe, "float32")
    still = optimize(target("conv2"), channels("conv2", [2]), replace(recipe, steps=1), "float32")
    assert np.abs(with_dead[1].astype(int) - without[0].astype(int)).max() <= 1
    assert np.array_equal(with_dead[0], still[0])  # no gradient, no change


class Breaks(nn.Module):
    """Gives a non-finite gradient to the second image of a batch only."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.conv = inner

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        scale = torch.ones(len(images), 1, 1, 1)
        if len(images) > 1:
            scale[1] = float("nan")
        return self.conv(images) * scale


def test_a_broken_gradient_ends_that_item_only(tiny: Callable[..., RunConfig], recipe: OptimizeConfig) -> None:
    config, model = tiny().model, Breaks(build().conv1)
    layer = replace(model_facts(Breaks(build().conv1).eval(), config).layers[-1])
    broken = Target(model=model, layer=layer, input=config.input, device=torch.device("cpu"))
    units = [picture(Channel(layer=OUTPUT, channel=number), "channel") for number in (1, 4, 6)]
    together = optimize(broken, units, recipe, "float32")
    alone = optimize(broken, units[:1], recipe, "float32")
    assert np.abs(together[0].astype(int) - alone[0].astype(int)).max() <= 1
    assert together[2].std() > 1


def test_seeds_give_different_pictures(target: Callable[[str], Target], recipe: OptimizeConfig) -> None:
    unit = Channel(layer="conv2", channel=1)
    made = optimize(target("conv2"), [picture(unit, "channel", seed=seed) for seed in (0, 1)], recipe, "float32")
    assert np.abs(made[0].astype(int) - made[1].astype(int)).mean() > 1


def test_scores_are_measured_from_the_stored_pixels(target: Callable[[str], Target], recipe: OptimizeConfig) -> None:
    wanted = channels("conv2", [1])
    pixels = optimize(target("conv2"), wanted, recipe, "float32")
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    model = build()
    expected = model.conv2(torch.relu(model.conv1((images - mean) / std)))[0, 1].mean()
    assert measure(target("conv2"), pixels, wanted)[0] == pytest.approx(float(expected), rel=1e-4)


def test_the_models_parameters_never_get_gradients(target: Callable[[str], Target], recipe: OptimizeConfig) -> None:
    where = target("conv2")
    optimize(where, channels("conv2", [1]), recipe, "float32")
    assert all(parameter.grad is None for parameter in where.model.parameters())


def test_bfloat16_scores_are_close_to_float32(target: Callable[[str], Target], recipe: OptimizeConfig) -> None:
    wanted = channels("conv2", [0, 1, 4, 5])
    scores = {
        dtype: measure(target("conv2"), optimize(target("conv2"), wanted, recipe, dtype), wanted)
        for dtype in ("float32", "bfloat16")
    }
    assert scores["bfloat16"] == pytest.approx(scores["float32"], rel=0.1)


def test_quantizing_rounds_and_never_wraps() -> None:
    values = torch.tensor([-0.1, 0.0, 0.5, 1.0, 1.2, float("nan")]).reshape(1, 1, 1, 6)
    assert quantize(values).reshape(-1).tolist() == [0, 0, 128, 255, 255, 128]


@pytest.mark.parametrize(
    ("pixels", "score", "status"),
    [
        (np.full((4, 4, 3), 128, np.uint8), 1.0, "grey"),
        (np.arange(48, dtype=np.uint8).reshape(4, 4, 3), 1.0, "ok"),
        (np.arange(48, dtype=np.uint8).reshape(4, 4, 3), float("inf"), "diverged"),
    ],
)
def test_a_picture_says_what_became_of_it(pixels: np.ndarray, score: float, status: str) -> None:
    assert status_of(pixels, score) == status
