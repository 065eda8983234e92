from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch

from network_atlas.pictures.objectives import OBJECTIVES, climbed, scores
from network_atlas.units import Channel, ClassLogit, ClassProbability, Direction, Layer, Neuron, Single, Sum, Term

MAPS = torch.arange(2 * 3 * 4 * 5, dtype=torch.float32).reshape(2, 3, 4, 5)
VECTOR = (0.6, 0.0, -0.8)


def score(unit: Single | Sum, maps: torch.Tensor = MAPS[:1]) -> float:
    return scores({"a": maps, "output": maps}, [unit]).item()


def direction(power: float) -> Direction:
    return Direction(layer="a", name="one", vector=VECTOR, cosine_power=power)


def difference(*weights: float) -> Sum:
    units = [Channel(layer="a", channel=channel) for channel in range(len(weights))]
    return Sum(terms=tuple(Term(weight=weight, unit=unit) for weight, unit in zip(weights, units, strict=True)))


def test_every_kind_of_unit_has_an_objective() -> None:
    assert set(OBJECTIVES) == set(get_args(Single)), "pictures/objectives.py: enter each kind in OBJECTIVES"


def test_a_channel_is_its_spatial_mean() -> None:
    assert score(Channel(layer="a", channel=1)) == MAPS[0, 1].mean().item()


def test_a_neuron_is_row_before_column() -> None:
    assert score(Neuron(layer="a", channel=1, row=3, column=2)) == MAPS[0, 1, 3, 2].item()


def test_every_picture_has_its_own_score_in_a_mixed_batch() -> None:
    units = [Channel(layer="a", channel=2), Neuron(layer="a", channel=0, row=0, column=4)]
    assert scores({"a": MAPS}, units).tolist() == [MAPS[0, 2].mean().item(), MAPS[1, 0, 0, 4].item()]


def test_a_logit_is_one_entry_of_the_output_and_a_probability_its_share() -> None:
    maps = torch.tensor([3.0, -1.0, 7.0]).reshape(1, 3, 1, 1)
    assert score(ClassLogit(layer="output", channel=2), maps) == 7.0
    shares = np.exp([3.0, -1.0, 7.0]) / np.exp([3.0, -1.0, 7.0]).sum()
    assert score(ClassProbability(layer="output", channel=0), maps) == pytest.approx(shares[0])


LOGITS = torch.tensor([[3.0, -1.0, 7.0], [-90.0, 2.0, 60.0]]).reshape(2, 3, 1, 1)


def probability(channel: int) -> ClassProbability:
    return ClassProbability(layer="output", channel=channel)


def test_of_a_probability_the_logarithm_is_climbed_and_everything_else_as_it_is() -> None:
    units = [probability(0), ClassLogit(layer="output", channel=1)]
    values = scores({"output": LOGITS}, units)
    first, second = climbed({"output": LOGITS}, units, values).tolist()
    assert first == pytest.approx(np.log(values[0].item()), rel=1e-5)
    assert second == 2.0


def test_of_a_sum_of_probabilities_the_logarithm_is_climbed_where_no_weight_is_negative() -> None:
    terms = (Term(weight=0.25, unit=probability(0)), Term(weight=0.75, unit=probability(1)))
    negative = (terms[0], Term(weight=-0.75, unit=probability(1)))
    units = [Sum(terms=terms), Sum(terms=negative)]
    values = scores({"output": LOGITS[:1].expand(2, -1, -1, -1)}, units)
    result = climbed({"output": LOGITS[:1].expand(2, -1, -1, -1)}, units, values)
    assert result[0].item() == pytest.approx(np.log(values[0].item()), rel=1e-5)
    assert result[1] == values[1]


def test_a_probability_too_small_for_its_gradient_is_climbed_with_one_of_full_size() -> None:
    maps = LOGITS[1:].clone().requires_grad_()
    values = scores({"output": maps}, [probability(0)])
    (plain,) = torch.autograd.grad(values.sum(), maps, retain_graph=True)
    (gradient,) = torch.autograd.grad(climbed({"output": maps}, [probability(0)], values).sum(), maps)
    assert plain.abs().max() < 1e-30
    assert gradient.flatten().tolist() == pytest.approx([1.0, 0.0, -1.0])


def test_a_layer_is_the_mean_of_its_squares() -> None:
    assert score(Layer(layer="a")) == pytest.approx(np.square(MAPS[0].numpy()).mean())


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0, 4.0])
def test_a_direction_is_the_dot_product_times_a_power_of_the_cosine(power: float) -> None:
    maps = torch.randn(1, 3, 4, 5, generator=torch.Generator().manual_seed(0)) + torch.tensor(VECTOR)[:, None, None]
    columns = maps[0].reshape(3, -1).double().numpy()
    vector = np.array(VECTOR)
    dots = vector @ columns
    cosines = dots / (np.linalg.norm(vector) * np.linalg.norm(columns, axis=0))
    assert score(direction(power), maps) == pytest.approx((dots * np.maximum(cosines, 0.1) ** power).mean(), rel=1e-5)


def test_a_direction_of_zeros_and_maps_of_zeros_are_finite() -> None:
    assert score(direction(2.0), torch.zeros(1, 3, 2, 2)) == 0.0


def test_a_difference_is_no_negated_sum() -> None:
    first, second = MAPS[0, 0].mean().item(), MAPS[0, 1].mean().item()
    assert score(difference(1, -1)) == first - second
    assert score(difference(-1, 1)) == second - first


def test_weights_of_a_sum_do_not_multiply_each_other() -> None:
    means = MAPS[0].mean(dim=(1, 2)).tolist()
    assert score(difference(2, 3, 0.5)) == pytest.approx(2 * means[0] + 3 * means[1] + 0.5 * means[2])


def test_a_sum_may_be_read_from_several_layers() -> None:
    other = torch.ones(2, 4, 1, 1) * 10
    unit = Sum(
        terms=(
            Term(weight=2.0, unit=Channel(layer="a", channel=1)),
            Term(weight=-1.0, unit=ClassLogit(layer="output", channel=3)),
        )
    )
    mixed = scores({"a": MAPS, "output": other}, [unit, Channel(layer="a", channel=0)])
    assert mixed.tolist() == [2 * MAPS[0, 1].mean().item() - 10, MAPS[1, 0].mean().item()]


@pytest.mark.parametrize(
    "unit",
    [
        Channel(layer="a", channel=1),
        Neuron(layer="a", channel=2, row=1, column=3),
        ClassLogit(layer="output", channel=0),
        ClassProbability(layer="output", channel=1),
        Layer(layer="a"),
        direction(2.0),
        difference(1.5, -0.5, 2.0),
    ],
    ids=lambda unit: type(unit).__name__,
)
def test_gradients_agree_with_numerical_differentiation(unit: Single | Sum) -> None:
    generator = torch.Generator().manual_seed(3)
    maps = torch.randn(1, 3, 4, 5, generator=generator).requires_grad_()
    (gradient,) = torch.autograd.grad(scores({"a": maps, "output": maps}, [unit]).sum(), maps)
    along = torch.randn(maps.shape, generator=generator)
    small = 1e-2
    with torch.no_grad():
        rise = score(unit, maps + small * along) - score(unit, maps - small * along)
    assert rise / (2 * small) == pytest.approx((gradient * along).sum().item(), rel=2e-2, abs=2e-3)
