from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from optimizing import made, picture
from tiny_generator import untrained
from tiny_network import build
from torch import nn

from network_atlas.config.recipe import OptimizeConfig, RegularizerConfig, StopConfig
from network_atlas.config.schema import RunConfig
from network_atlas.layers import OUTPUT
from network_atlas.models.facts import model_facts
from network_atlas.models.half_size import takes_half_size
from network_atlas.optimize.finished import FinishedPicture
from network_atlas.optimize.slots import has_flattened, thinned
from network_atlas.pictures.objectives import scores
from network_atlas.pictures.parameterizations import PARAMETERIZATIONS, parameterization
from network_atlas.pictures.parameterizations.maco import packaged_magnitude
from network_atlas.pictures.regularizers import penalty
from network_atlas.pictures.stored import measure, quantize
from network_atlas.pictures.target import Target
from network_atlas.pictures.transforms import draw_warps, warp
from network_atlas.plan.pictures import Picture
from network_atlas.units import Channel, ClassLogit, ClassProbability, Direction, Layer, Neuron, Single, Sum, Term

MakeTarget = Callable[..., Target]
GREY_START = np.full((1, 16, 16, 3), 128, np.uint8)
CHANNEL = Channel(layer="conv2", channel=1)


def channels(layer: str, numbers: Sequence[int]) -> list[Picture]:
    return [picture(Channel(layer=layer, channel=number), seed=seed) for seed, number in enumerate(numbers)]


def pixels(result: FinishedPicture) -> Any:
    return result.pixels.astype(int)


CASES: list[Single | Sum] = [
    CHANNEL,
    Neuron(layer="conv2", channel=1, row=4, column=4),
    ClassLogit(layer=OUTPUT, channel=2),
    ClassProbability(layer=OUTPUT, channel=2),
    Direction(layer="conv2", name="first", vector=tuple(np.linspace(-1, 1, 12).tolist()), cosine_power=2.0),
    Sum(
        terms=(
            Term(weight=1.0, unit=CHANNEL),
            Term(weight=-0.5, unit=ClassLogit(layer=OUTPUT, channel=1)),
        )
    ),
]


def risen(target: Target, unit: Single | Sum, recipe: OptimizeConfig, *, sign: int) -> float:
    (result,) = made(target, [picture(unit, sign=sign)], recipe)
    start, end = measure(target, np.concatenate([GREY_START, result.pixels[None]]), [unit, unit])
    return end - start


def layers_read(unit: Single | Sum) -> list[str]:
    return list(picture(unit).layers)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("unit", CASES, ids=lambda unit: type(unit).__name__)
def test_every_objective_goes_where_its_sign_points(
    target: MakeTarget, recipe: OptimizeConfig, unit: Single | Sum, sign: int
) -> None:
    assert sign * risen(target(*layers_read(unit)), unit, recipe, sign=sign) > 0.02


class Louder(nn.Module):
    """The tiny network with values in conv2 a hundred times as large."""

    def __init__(self) -> None:
        super().__init__()
        inner = build()
        self.conv1, self.conv2 = inner.conv1, inner.conv2
        self.conv2.weight.mul_(100)
        self.conv2.bias.mul_(100)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.conv2(torch.relu(self.conv1(images)))
        return output


@pytest.mark.parametrize(("name", "weight"), [("l1", 20.0), ("total_variation", 20.0), ("blur", 2000.0)])
def test_a_penalty_does_the_same_to_a_channel_of_any_size(
    tiny: Callable[..., RunConfig], recipe: OptimizeConfig, name: Any, weight: float
) -> None:
    penalized = replace(recipe, regularizers=(RegularizerConfig(name=name, weight=weight),))
    config, results = tiny().model, []
    for model in (build(), Louder().eval()):
        (layer,) = (layer for layer in model_facts(model, config).layers if layer.name == "conv2")
        target = Target(model=model, layers=[layer], input=config.input, device=torch.device("cpu"))
        results += made(target, [picture(CHANNEL)], penalized)
    assert np.abs(pixels(results[0]) - pixels(results[1])).mean() < 1
    (without,) = made(target, [picture(CHANNEL)], recipe)
    assert results[0].pixels.std() < 0.9 * without.pixels.std()
    assert np.abs(pixels(results[0]) - pixels(without)).mean() > 3


class Sure(nn.Module):
    """The tiny network with logits fifty times as large: most probabilities are nearly zero at the start."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = build()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return 50 * self.inner(images)


def test_a_class_of_hardly_any_probability_is_raised_to_the_first_place(
    tiny: Callable[..., RunConfig], recipe: OptimizeConfig
) -> None:
    config, model = tiny().model, Sure().eval()
    layers = model_facts(model, config).layers
    (output,) = (layer for layer in layers if layer.name == OUTPUT)
    target = Target(model=model, layers=[output], input=config.input, device=torch.device("cpu"))
    units = [ClassProbability(layer=OUTPUT, channel=number) for number in range(output.channels)]
    before = measure(target, np.repeat(GREY_START, len(units), axis=0), units)
    results = made(target, [picture(unit) for unit in units], replace(recipe, steps=64))
    after = measure(target, np.stack([result.pixels for result in results]), units)
    rare = [number for number, value in enumerate(before) if value < 1e-3]
    assert rare
    assert min(after[number] for number in rare) > 0.5
    for result in results:  # what is stored is the probability
        assert all(0 <= point["score"] <= 1 for point in result.curve)


def test_a_whole_layer_is_excited(target: MakeTarget, recipe: OptimizeConfig) -> None:
    assert risen(target("conv2"), Layer(layer="conv2"), recipe, sign=1) > 0.5


@pytest.mark.parametrize("size", [8, 32])
def test_a_picture_alone_and_in_a_batch_agree(target: MakeTarget, recipe: OptimizeConfig, size: int) -> None:
    batch = channels("conv2", [number % 12 for number in range(size)])
    together = made(target("conv2"), batch, recipe)
    alone = made(target("conv2"), batch[5:6], recipe)
    assert np.abs(pixels(together[5]) - pixels(alone[0])).max() <= 1


@pytest.mark.parametrize("slots", [1, 2, 3, 5])
def test_the_number_of_slots_and_the_order_change_nothing(
    target: MakeTarget, recipe: OptimizeConfig, slots: int
) -> None:
    batch = channels("conv2", [0, 1, 4, 5, 6, 7, 8])
    expected = {each.key: result for each, result in zip(batch, made(target("conv2"), batch, recipe), strict=True)}
    turned = batch[::-1]
    for each, result in zip(turned, made(target("conv2"), turned, recipe, slots=slots), strict=True):
        assert np.abs(pixels(result) - pixels(expected[each.key])).max() <= 1
        assert result.steps == expected[each.key].steps


def test_a_dead_unit_neither_changes_nor_is_changed_by_its_neighbours(
    target: MakeTarget, recipe: OptimizeConfig
) -> None:
    dead, alive = picture(Channel(layer="conv2", channel=2)), picture(CHANNEL)
    both = made(target("conv2"), [dead, alive], recipe)
    without = made(target("conv2"), [alive], recipe)
    still = made(target("conv2"), [dead], replace(recipe, steps=1))
    assert np.abs(pixels(both[1]) - pixels(without[0])).max() <= 1
    assert np.array_equal(both[0].pixels, still[0].pixels)  # no gradient, no change
    assert [result.status for result in both] == ["dead", "ok"]


class Breaks(nn.Module):
    """Gives a non-finite gradient to every image that is bright in its first channel."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.conv = inner

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        bright = images[:, 0].mean(dim=(1, 2)) > 0.4
        return self.conv(images) * torch.where(bright, float("nan"), 1.0).view(-1, 1, 1, 1)


def test_a_broken_gradient_ends_that_item_only(tiny: Callable[..., RunConfig], recipe: OptimizeConfig) -> None:
    config, model = tiny().model, Breaks(build().conv1).eval()
    layer = model_facts(model, config).layers[-1]
    target = Target(model=model, layers=[layer], input=config.input, device=torch.device("cpu"))
    units = [Channel(layer=layer.name, channel=number) for number in range(8)]
    recipe = replace(recipe, steps=80, transform=replace(recipe.transform, jitter_px=0))
    results = made(target, [picture(unit) for unit in units], recipe)
    broken = [result.status == "diverged" for result in results]
    assert set(broken) == {True, False}
    for unit, result, is_broken in zip(units, results, broken, strict=True):
        (alone,) = made(target, [picture(unit)], recipe)
        assert np.abs(pixels(alone) - pixels(result)).max() <= 1
        assert (alone.status, alone.steps) == (result.status, result.steps)
        assert (result.steps < 80) == is_broken


def test_seeds_give_different_pictures(target: MakeTarget, recipe: OptimizeConfig) -> None:
    first, second = made(target("conv2"), [picture(CHANNEL, seed=seed) for seed in (0, 1)], recipe)
    assert np.abs(pixels(first) - pixels(second)).mean() > 1


def test_a_second_attempt_draws_other_numbers(target: MakeTarget, recipe: OptimizeConfig) -> None:
    (first,) = made(target("conv2"), [picture(CHANNEL)], recipe)
    (second,) = made(target("conv2"), [picture(CHANNEL)], recipe, attempt=1)
    assert np.abs(pixels(first) - pixels(second)).mean() > 1


def test_scores_are_measured_from_the_stored_pixels(target: MakeTarget, recipe: OptimizeConfig) -> None:
    (result,) = made(target("conv2"), [picture(CHANNEL)], recipe)
    images = torch.from_numpy(result.pixels[None]).permute(0, 3, 1, 2).float() / 255
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    model = build()
    expected = model.conv2(torch.relu(model.conv1((images - mean) / std)))[0, 1].mean()
    assert measure(target("conv2"), result.pixels[None], [CHANNEL])[0] == pytest.approx(float(expected), rel=1e-4)


def test_the_models_parameters_never_get_gradients_and_no_hook_stays(
    target: MakeTarget, recipe: OptimizeConfig
) -> None:
    network = target("conv2", "conv1")
    made(network, channels("conv2", [1]), recipe)
    assert all(parameter.grad is None for parameter in network.model.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.model.modules())


def test_bfloat16_scores_are_close_to_float32(target: MakeTarget, recipe: OptimizeConfig) -> None:
    pictures = channels("conv2", [0, 1, 4, 5])
    measured = {
        dtype: measure(
            target("conv2"),
            np.stack([result.pixels for result in made(target("conv2"), pictures, recipe, dtype=dtype)]),
            [each.readable for each in pictures],
        )
        for dtype in ("float32", "bfloat16")
    }
    assert measured["bfloat16"] == pytest.approx(measured["float32"], rel=0.1)


def test_layers_before_an_in_place_activation_are_read_as_they_were(target: MakeTarget, recipe: OptimizeConfig) -> None:
    """conv1 is overwritten by an in-place ReLU; its gradient and values must survive that when both are read."""
    below = Sum(terms=(Term(weight=-1.0, unit=Channel(layer="conv1", channel=0)), Term(weight=0.001, unit=CHANNEL)))
    assert risen(target("conv1", "conv2"), below, recipe, sign=1) > 0.1


@pytest.mark.parametrize("size", [(12, 20), (24, 9)])
def test_pictures_need_not_be_square(target: MakeTarget, recipe: OptimizeConfig, size: tuple[int, int]) -> None:
    (result,) = made(target("conv2"), [picture(CHANNEL)], replace(recipe, height_px=size[0], width_px=size[1]))
    assert result.pixels.shape == (*size, 3)


@pytest.mark.parametrize("count", [1, 4, 7])
def test_other_numbers_of_input_channels(tiny: Callable[..., RunConfig], recipe: OptimizeConfig, count: int) -> None:
    config = replace(tiny().model.input, channels=count, mean=(0.5,), std=(0.25,))
    model = build(channels=count)
    facts = model_facts(model, replace(tiny().model, input=config))
    layer = next(layer for layer in facts.layers if layer.name == "conv2")
    target = Target(model=model, layers=[layer], input=config, device=torch.device("cpu"))
    (result,) = made(target, [picture(CHANNEL)], recipe)
    assert result.pixels.shape == (16, 16, count)
    grey = np.full_like(result.pixels, 128)
    before, after = measure(target, np.stack([grey, result.pixels]), [CHANNEL, CHANNEL])
    assert after > before


def test_opacity_is_kept_where_it_is_asked_for(target: MakeTarget, recipe: OptimizeConfig) -> None:
    corner = Neuron(layer="conv2", channel=1, row=0, column=0)
    still = replace(recipe.transform, jitter_px=0, scale_min=1, scale_max=1, rotate_degrees=0)
    (result,) = made(target("conv2"), [picture(corner)], replace(recipe, opacity=True, transform=still))
    assert result.opacity is not None
    assert result.opacity.shape == (16, 16)
    assert result.opacity[0, 0] == 255
    assert result.opacity[8:, 8:].max() == 0
    (plain,) = made(target("conv2"), [picture(corner)], replace(recipe, transform=still))
    assert plain.opacity is None
    assert np.array_equal(plain.pixels, result.pixels)


def test_a_given_image_is_where_it_starts(target: MakeTarget, recipe: OptimizeConfig) -> None:
    image = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0)) * 0.8 + 0.1
    started = picture(CHANNEL)
    (result,) = made(target("conv2"), [started], replace(recipe, steps=1), starts={started.key: image})
    assert np.abs(result.pixels / 255 - image.permute(1, 2, 0).numpy()).max() < 0.1


def test_the_mean_over_views_is_climbed(target: MakeTarget, recipe: OptimizeConfig) -> None:
    more = replace(recipe, transform=replace(recipe.transform, views=3))
    assert risen(target("conv2"), CHANNEL, more, sign=1) > 0.05
    batch = channels("conv2", [0, 1, 4])
    narrow, wide = made(target("conv2"), batch, more, slots=3), made(target("conv2"), batch, more, slots=9)
    for first, second in zip(narrow, wide, strict=True):
        assert np.abs(pixels(first) - pixels(second)).max() <= 1


STOP = StopConfig(window=8, gain=0.05)


def test_a_picture_stops_when_its_score_has_flattened() -> None:
    rising = [float(step) for step in range(40)]
    flat = [*rising, *[40.0] * 16]
    assert not has_flattened(rising, STOP, sign=1)
    assert has_flattened(flat, STOP, sign=1)
    assert has_flattened([-value for value in flat], STOP, sign=-1)
    assert not has_flattened(flat, StopConfig(window=8, gain=0), sign=1)
    assert not has_flattened([5.0] * 23, STOP, sign=1)  # too early to say
    assert has_flattened([5.0] * 24, STOP, sign=1)


def test_each_picture_stops_by_itself_and_others_take_its_place(target: MakeTarget, recipe: OptimizeConfig) -> None:
    stopping = replace(recipe, steps=200, stop=StopConfig(window=8, gain=0.2))
    batch = channels("conv2", [0, 1, 3, 4, 5, 6])
    results = made(target("conv2"), batch, stopping, slots=2)
    steps = [result.steps for result in results]
    assert len(set(steps)) > 1
    assert max(steps) < 200
    for each, result in zip(batch, results, strict=True):
        (alone,) = made(target("conv2"), [each], stopping)
        assert alone.steps == result.steps
        assert np.abs(pixels(alone) - pixels(result)).max() <= 1


def test_the_curve_is_thinned_and_ends_at_the_last_step(target: MakeTarget, recipe: OptimizeConfig) -> None:
    (result,) = made(target("conv2"), [picture(CHANNEL)], replace(recipe, steps=70))
    assert len(result.curve) == 32
    assert result.curve[-1]["step"] == result.steps == 70
    assert result.curve[-1]["score"] > result.curve[0]["score"]
    assert thinned([1.0, 3.0]) == [{"step": 1, "score": 1.0}, {"step": 2, "score": 3.0}]


def test_quantizing_rounds_and_never_wraps() -> None:
    values = torch.tensor([-0.1, 0.0, 0.5, 1.0, 1.2, float("nan")]).reshape(1, 1, 1, 6)
    assert quantize(values).reshape(-1).tolist() == [0, 0, 128, 255, 255, 128]


def test_the_first_steps_may_be_taken_at_half_the_size(target: MakeTarget, recipe: OptimizeConfig) -> None:
    network, coarse = replace(target("conv2"), takes_half=True), replace(recipe, coarse=0.5)
    seen: list[tuple[int, int]] = []
    handle = network.model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[-2:]))
    batch = [picture(CHANNEL), picture(Neuron(layer="conv2", channel=1, row=7, column=7))]
    together = made(network, batch, coarse)
    handle.remove()
    assert seen.count((8, 8)) == 12  # the channel's; the neuron's position has no meaning there
    assert seen.count((16, 16)) == 12 + 12
    for each, result in zip(batch, together, strict=True):
        (alone,) = made(network, [each], coarse)
        assert np.abs(pixels(alone) - pixels(result)).max() <= 1
    assert risen(network, CHANNEL, coarse, sign=1) > 0.05


def test_a_model_that_takes_one_size_only_is_told_apart(target: MakeTarget) -> None:
    network = target("conv2")
    assert takes_half_size(network.model, network.input, network.device)
    fixed = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 4))
    assert not takes_half_size(fixed, network.input, network.device)


@pytest.mark.parametrize("size", [8, 32])
def test_in_bfloat16_scores_alone_and_in_a_batch_agree(target: MakeTarget, recipe: OptimizeConfig, size: int) -> None:
    network, batch = target("conv2"), channels("conv2", [number % 12 for number in range(size)])
    together = made(network, batch, recipe, dtype="bfloat16")
    for number in (1, 5):
        (alone,) = made(network, [batch[number]], recipe, dtype="bfloat16")
        both = np.stack([together[number].pixels, alone.pixels])
        in_batch, by_itself = measure(network, both, [batch[number].readable] * 2)
        assert in_batch == pytest.approx(by_itself, rel=0.01, abs=0.01)


@pytest.mark.parametrize("kind", sorted(PARAMETERIZATIONS))
def test_the_way_from_parameters_to_the_score_agrees_with_numerical_differentiation(
    target: MakeTarget, tiny: Callable[..., RunConfig], kind: str
) -> None:
    """The whole recipe at one step: parameterization, warp, normalization, network, objective, penalties."""
    penalties = ", ".join(f"{{name: {name}, weight: 0.01}}" for name in ("l1", "l2", "total_variation", "border"))
    config = tiny(f"optimize/parameterization={kind}", f"optimize.regularizers=[{penalties}]").optimize
    network, unit = target("conv2"), CHANNEL
    learned = parameterization(
        config, channels=3, device=network.device, magnitude=packaged_magnitude(), generator=untrained(3, (16, 16))
    )
    generator = torch.Generator().manual_seed(1)
    start = learned.start([generator]).detach()
    start = start + 0.3 * torch.randn(start.shape, generator=generator)
    (warps,) = draw_warps(config.transform, generator, 1, (16, 16))

    def aim(parameters: torch.Tensor) -> torch.Tensor:
        images = learned.image(parameters)
        seen = warp(images, warps, height=16, width=16)
        return (scores(network.maps(seen), [unit]) - penalty(images, config.regularizers)).sum()

    parameters = start.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(aim(parameters), parameters)
    along = gradient / gradient.norm()
    small = 1e-3  # a CPPN curves so much that a step of .01 sees half of its slope
    with torch.no_grad():
        rise = (aim(start + small * along) - aim(start - small * along)) / (2 * small)
    assert rise.item() == pytest.approx(gradient.norm().item(), rel=0.05)


def test_inputs_smaller_than_the_networks_stride_still_give_a_picture(
    tiny: Callable[..., RunConfig], recipe: OptimizeConfig
) -> None:
    config = replace(tiny().model.input, height=1, width=1)
    model = build()
    layer = next(
        layer for layer in model_facts(model, replace(tiny().model, input=config)).layers if layer.name == "conv3"
    )
    target = Target(model=model, layers=[layer], input=config, device=torch.device("cpu"))
    assert layer.positions == (1, 1)
    (result,) = made(target, [picture(Channel(layer="conv3", channel=0))], recipe)
    assert result.status == "ok"


def test_all_colour_channels_are_normalized_by_their_own_mean_and_std(target: MakeTarget) -> None:
    """Grey must reach the network as each channel's own number: one range for all would shift its colours."""
    network, seen = target("conv1"), list[torch.Tensor]()
    handle = network.model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    measure(network, np.full((2, 16, 16, 3), 128, np.uint8), [Channel(layer="conv1", channel=0)] * 2)
    handle.remove()
    expected = (128 / 255 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    assert seen[0][0, :, 3, 3].tolist() == pytest.approx(expected.tolist(), rel=1e-4)
