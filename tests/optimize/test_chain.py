"""A chain samples a density; of pictures it keeps what excites the unit more than images do, alone as in a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from optimizing import made, picture
from torch import Tensor

from network_atlas.config.priors import DenoiserPrior
from network_atlas.config.recipe import OptimizeConfig
from network_atlas.config.sampler import ChainConfig
from network_atlas.optimize.chain import chosen, langevin_step, spread_of
from network_atlas.optimize.finished import FinishedPicture
from network_atlas.optimize.pull import Pull
from network_atlas.pictures.stored import measure
from network_atlas.pictures.target import Target
from network_atlas.plan.pictures import Picture, Together
from network_atlas.priors.denoiser import Denoiser
from network_atlas.priors.score import log_density_gradient
from network_atlas.units import Channel

CHAIN = ChainConfig(
    name="chain",
    step=0.05,
    noise=0.05,
    restarts=3,
    strength_range=(0.5, 2.0),
    burn_in=0.5,
    sample_every=4,
    percentile=0,
)
WEIGHTS, LEVEL, SPREAD = (0.3, 0.7), 0.3, 0.4
CENTRES = torch.tensor([[-1.0, 0.3], [1.0, -0.3]])


def mixture_denoiser(noisy: Tensor, levels: Tensor) -> Tensor:
    """Return the best guess of the clean point, for points of two Gaussians, in the shape of images of two pixels."""
    points, variance = noisy[:, 0, 0], SPREAD**2 + levels.view(-1, 1) ** 2
    distances = (points[:, None] - CENTRES).square().sum(dim=2)
    shares = (torch.tensor(WEIGHTS).log() - distances / (2 * variance)).softmax(dim=1)
    guesses = CENTRES + (SPREAD**2 / variance)[..., None] * (points[:, None] - CENTRES)
    return (shares[..., None] * guesses).sum(dim=1)[:, None, None]


@pytest.mark.parametrize(("temperature", "scale"), [(1.0, None), (1.0, (1.0, 0.25)), (2.0, None)])
def test_a_mixture_is_sampled_with_its_weights_and_spreads(
    temperature: float, scale: tuple[float, float] | None
) -> None:
    scales = None if scale is None else torch.tensor(scale)
    generator, levels = torch.Generator().manual_seed(0), torch.full((2000,), LEVEL)
    points, seen, spread = torch.full((2000, 1, 1, 2), -1.0), [], spread_of(0.02, temperature)
    for number in range(1200):
        score = log_density_gradient(mixture_denoiser, points, levels)
        noise = torch.randn(points.shape, generator=generator)
        points = langevin_step(points, score, noise, step=0.02, spread=spread, scale=scales)
        if number >= 600 and number % 20 == 0:
            seen.append(points[:, 0, 0])
    found = torch.cat(seen)
    larger = float((found @ (CENTRES[1] - CENTRES[0]) > 0).float().mean())
    across = found @ torch.tensor([0.3, 1.0]) / 1.09**0.5  # at a right angle to what divides the two
    assert float(across.var()) == pytest.approx(temperature * (SPREAD**2 + LEVEL**2), rel=0.05)
    if temperature == 1:
        assert [1 - larger, larger] == pytest.approx(WEIGHTS, rel=0.05)
    else:  # the density to the power of 1/2: the weights come closer to each other
        assert 0.55 < larger < 0.65


def group(number: int, count: int = 3) -> list[Picture]:
    members = [Together(kind="chain", layer="conv2", index=index, count=count) for index in range(count)]
    pictures = [picture(Channel(layer="conv2", channel=number), together=member) for member in members]
    return [replace(each, group=pictures[0].key) for each in pictures]


def chained(recipe: OptimizeConfig, **settings: object) -> OptimizeConfig:
    return replace(recipe, steps=16, sampler=replace(CHAIN, **settings))  # type: ignore[arg-type]


def pulling() -> Pull:
    torch.manual_seed(0)
    denoiser = Denoiser(3, features=8, convolutions=3, gives_noise=True).eval().requires_grad_(False)
    return Pull(
        denoiser,
        DenoiserPrior(name="denoiser", weights="trained", strength=0.5, noise_start=50, noise_end=5),
        "float32",
    )


def same(first: FinishedPicture, second: FinishedPicture) -> bool:
    return np.array_equal(first.pixels, second.pixels) and first.curve == second.curve and first.steps == second.steps


def test_alone_and_in_a_batch_bit_for_bit(target: Callable[..., Target], recipe: OptimizeConfig) -> None:
    config = chained(recipe)
    groups = [group(number) for number in range(5)]
    pictures = [each for members in groups for each in members]
    together = made(target("conv2"), pictures, config, slots=4, pull=pulling())
    alone = [each for members in groups for each in made(target("conv2"), members, config, slots=1, pull=pulling())]
    assert all(same(first, second) for first, second in zip(together, alone, strict=True))


def test_samples_come_one_of_each_start_and_differ(target: Callable[..., Target], recipe: OptimizeConfig) -> None:
    results = made(target("conv2"), group(1), chained(recipe))
    assert [result.steps for result in results] == [16, 32, 48]
    assert len({result.pixels.tobytes() for result in results}) == 3
    grey = measure(target("conv2"), np.full((1, 16, 16, 3), 128, np.uint8), [Channel(layer="conv2", channel=1)])
    units = [Channel(layer="conv2", channel=1)] * 3
    assert min(measure(target("conv2"), np.stack([result.pixels for result in results]), units)) > grey[0] + 0.05


@pytest.mark.parametrize("sign", [1, -1])
def test_what_images_beat_comes_last(target: Callable[..., Target], recipe: OptimizeConfig, sign: int) -> None:
    members = [replace(each, sign=sign) for each in group(1, count=9)]
    config = chained(recipe, noise=0.4)
    results = made(target("conv2"), members, config)
    assert len({result.steps for result in results}) == 6  # as many as the chain takes; the rest is its end
    scores = measure(target("conv2"), np.stack([each.pixels for each in results[:6]]), [members[0].readable] * 6)
    values = np.array(sorted(scores), dtype=np.float32)
    strict = chained(recipe, noise=0.4, percentile=50.0)
    kept = made(target("conv2"), members, strict, sampled={members[0].key: values})
    again = measure(target("conv2"), np.stack([each.pixels for each in kept[:6]]), [members[0].readable] * 6)
    assert sorted(again) == sorted(scores)
    signed = [sign * score for score in again]
    assert min(signed[:3]) > max(signed[3:])
    assert signed[3:] == sorted(signed[3:], reverse=True)


def test_kept_samples_are_dealt_out_start_by_start() -> None:
    starts, kept = [0, 0, 0, 1, 1, 2], [True, True, False, True, True, False]
    assert chosen(starts, kept, [1.0, 2, 9, 3, 4, 5]) == [1, 4, 0, 3, 2, 5]
    assert chosen([], [], []) == []


def test_without_noise_and_prior_a_chain_is_an_ascent(target: Callable[..., Target], recipe: OptimizeConfig) -> None:
    (result,) = made(target("conv2"), [picture(Channel(layer="conv2", channel=1))], chained(recipe, noise=0.0))
    assert result.curve[7]["score"] > result.curve[0]["score"]
    assert result.status == "ok"
