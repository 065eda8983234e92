"""A denoiser pulls at each picture by itself: alone and in any batch it is the same picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from optimizing import made, picture

from network_atlas.config.priors import DenoiserPrior
from network_atlas.config.recipe import OptimizeConfig
from network_atlas.optimize.pull import Pull
from network_atlas.pictures.target import Target
from network_atlas.priors.denoiser import Denoiser
from network_atlas.units import Channel

PRIOR = DenoiserPrior(name="denoiser", weights="trained", strength=1.0, noise_start=50, noise_end=5)


def pulling(strength: float, dtype: str = "float32") -> Pull:
    torch.manual_seed(0)
    denoiser = Denoiser(3, features=8, convolutions=3, gives_noise=True).eval().requires_grad_(False)
    return Pull(denoiser, replace(PRIOR, strength=strength), dtype)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_alone_and_in_a_batch_bit_for_bit(target: Callable[..., Target], recipe: OptimizeConfig, dtype: str) -> None:
    pictures = [picture(Channel(layer="conv2", channel=number)) for number in range(5)]
    pull = pulling(1.0, dtype)
    together = made(target("conv2"), pictures, recipe, pull=pull)
    alone = [made(target("conv2"), [each], recipe, slots=1, pull=pull)[0] for each in pictures]
    for one, other in zip(together, alone, strict=True):
        assert np.array_equal(one.pixels, other.pixels)
        assert one.curve == other.curve


def test_strength_zero_gives_the_bits_of_no_prior(target: Callable[..., Target], recipe: OptimizeConfig) -> None:
    pictures = [picture(Channel(layer="conv2", channel=number)) for number in (0, 1, 4)]
    without, weak, strong = (
        made(target("conv2"), pictures, recipe, pull=pull) for pull in (None, pulling(0.0), pulling(1.0))
    )
    assert all(np.array_equal(one.pixels, other.pixels) for one, other in zip(without, weak, strict=True))
    assert not any(np.array_equal(one.pixels, other.pixels) for one, other in zip(without, strong, strict=True))


def test_the_opacity_is_that_of_the_objective_alone(target: Callable[..., Target], recipe: OptimizeConfig) -> None:
    short = replace(recipe, opacity=True, steps=1)
    one = picture(Channel(layer="conv2", channel=1))
    without, pulled = (made(target("conv2"), [one], short, pull=pull)[0] for pull in (None, pulling(5.0)))
    assert without.opacity is not None
    assert np.array_equal(without.opacity, pulled.opacity)
