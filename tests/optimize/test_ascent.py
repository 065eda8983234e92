from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from network_atlas.config.compose import compose
from network_atlas.config.recipe import OptimizeConfig
from network_atlas.optimize.ascent import ascent, conditioned

RULES = ["adam", "brisk", "nadam", "l2", "linf", "mean"]


@pytest.fixture(scope="module")
def recipe() -> OptimizeConfig:
    return compose(["dataset=folder", "dataset.root=x", "optimize.learning_rate=0.1"]).optimize


def climbed(recipe: OptimizeConfig, rule: str, start: torch.Tensor, steps: int = 3) -> torch.Tensor:
    """Climb -x^2 from `start` and return where that leads."""
    parameters = start.clone()
    uphill = ascent(replace(recipe, ascent=rule))
    state = uphill.start(parameters)
    for _ in range(steps):
        parameters += uphill.step(-2 * parameters, state)
    return parameters


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_climbs(recipe: OptimizeConfig, rule: str) -> None:
    start = torch.tensor([[3.0, -2.0], [1.0, 4.0]])
    assert (climbed(recipe, rule, start).square().sum(dim=1) < start.square().sum(dim=1)).all()


@pytest.mark.parametrize("rule", RULES)
def test_items_do_not_touch_each_other(recipe: OptimizeConfig, rule: str) -> None:
    start = torch.tensor([[3.0, -2.0], [1.0, 400.0]])
    assert torch.allclose(climbed(recipe, rule, start)[:1], climbed(recipe, rule, start[:1]))


@pytest.mark.parametrize("rule", RULES)
def test_an_item_without_a_gradient_stays(recipe: OptimizeConfig, rule: str) -> None:
    start = torch.tensor([[3.0, -2.0], [0.0, 0.0]])
    assert climbed(recipe, rule, start)[1].tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("rule", "theirs", "beta1"),
    [("adam", torch.optim.Adam, 0.9), ("brisk", torch.optim.Adam, 0.5), ("nadam", torch.optim.NAdam, 0.9)],
)
def test_it_takes_the_steps_that_torch_takes(recipe: OptimizeConfig, rule: str, theirs: type, beta1: float) -> None:
    start = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    reference = start.clone().requires_grad_()
    optimizer = theirs([reference], lr=0.1, betas=(beta1, 0.999))
    for _ in range(20):
        optimizer.zero_grad()
        reference.square().sum().backward()
        optimizer.step()
    assert torch.allclose(climbed(recipe, rule, start, 20), reference, atol=1e-5)


@pytest.mark.parametrize("rule", ["adam", "brisk", "nadam"])
def test_an_item_that_joins_later_counts_its_own_steps(recipe: OptimizeConfig, rule: str) -> None:
    uphill = ascent(replace(recipe, ascent=rule))
    first, second = torch.tensor([[3.0]]), torch.tensor([[5.0]])
    state = uphill.start(first)
    first += uphill.step(-2 * first, state)
    both = torch.cat([first, second])
    joined = {name: torch.cat([value, uphill.start(second)[name]]) for name, value in state.items()}
    both += uphill.step(-2 * both, joined)
    assert torch.allclose(both[1:], climbed(recipe, rule, second, 1))


def test_l2_and_mean_follow_the_gradient_and_linf_its_sign(recipe: OptimizeConfig) -> None:
    start = torch.tensor([[3.0, -4.0]])
    towards = -start / start.square().mean().sqrt()
    assert torch.allclose(climbed(recipe, "l2", start, 1), start + 0.1 * towards)
    assert torch.allclose(climbed(recipe, "linf", start, 1), start + 0.1 * -start.sign())
    assert torch.allclose(climbed(recipe, "mean", start, 1), start + 0.1 * -start / start.abs().mean())


@pytest.mark.parametrize("kind", ["blurred", "laplacian"])
@pytest.mark.parametrize(("height", "width"), [(16, 16), (15, 9), (1, 7)])
def test_conditioning_holds_high_frequencies_back(kind: str, height: int, width: int) -> None:
    noise = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    result = conditioned(noise, kind)
    assert result.shape == noise.shape
    roughness = [x.diff(dim=3).abs().mean() / x.abs().mean() for x in (result, noise)]
    assert roughness[0] < roughness[1]
    assert torch.allclose(conditioned(noise[1:], kind), result[1:], atol=1e-5)


def test_a_plain_gradient_is_left_alone() -> None:
    noise = torch.randn(1, 3, 4, 4)
    assert conditioned(noise, "plain") is noise
