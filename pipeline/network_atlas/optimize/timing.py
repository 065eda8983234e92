"""Time how fast this machine makes pictures: a few steps of the real model at the real sizes."""

from __future__ import annotations

import time
from dataclasses import replace

import torch
from torch import nn

from network_atlas.config.recipe import GeneratorConfig, OptimizeConfig
from network_atlas.config.sampler import NoSampler
from network_atlas.config.schema import RunConfig
from network_atlas.errors import ConfigError
from network_atlas.fingerprints import fingerprint
from network_atlas.layers import LayerSpec
from network_atlas.models.batches import sizes_for
from network_atlas.models.device import device_of, optimize_dtype, use_threads
from network_atlas.models.load import ready
from network_atlas.optimize.loop import Recipe, optimize
from network_atlas.optimize.slots import views_at_once
from network_atlas.pictures.parameterizations import parameterization
from network_atlas.pictures.parameterizations.maco import packaged_magnitude
from network_atlas.pictures.target import Target
from network_atlas.plan.pictures import Picture
from network_atlas.units import Channel

STEPS = 2
SECONDS = 1.0
"""Once this much was timed, no further round starts."""
ROUNDS = range(3, 6)
"""Rounds: no fewer, since the slowest and the fastest tell how much other work on the machine slows one down."""


def step_seconds(model: nn.Module, layer: LayerSpec, config: RunConfig, *, threads: int) -> tuple[float, float]:
    """Return the seconds that one step of one picture of `layer` takes here for each view: fastest and slowest round.

    Times the run's own recipe at full size, as a picture that climbs and without what is learned, which `plan.prices`
    adds. Where the configuration asks for a GPU that isn't here, the processor is timed.
    """
    use_threads(threads)
    device = _device(config)
    recipe = config.optimize
    target = Target(model=ready(model, config.model, device), layers=(layer,), input=config.model.input, device=device)
    # On a processor one full batch of its fixed size; more take as long for each. A GPU wants as many as there will be.
    count = (
        max(2, views_at_once(recipe.batch, device) // recipe.transform.views)
        if device.type == "cuda"
        else sizes_for(device)[-1]
    )
    pictures = [_picture(layer, number) for number in range(count)]
    climbing = replace(recipe, steps=STEPS, coarse=0.0, sampler=NoSampler(name="none"))
    timed = _ready(climbing, config, device, slots=count * recipe.transform.views)
    optimize(target, pictures, timed)  # a first round, so that one-time work does not count
    rounds: list[float] = []
    while len(rounds) < ROUNDS.start or (sum(rounds) < SECONDS and len(rounds) < ROUNDS.stop):
        began = time.perf_counter()
        optimize(target, pictures, timed)
        rounds.append(time.perf_counter() - began)
    steps = count * STEPS * recipe.transform.views
    return min(rounds) / steps, max(rounds) / steps


def _device(config: RunConfig) -> torch.device:
    try:
        return device_of(config.executor)
    except ConfigError:  # planning on a machine without the GPUs that the run is for
        return torch.device("cpu")


def _ready(recipe: OptimizeConfig, config: RunConfig, device: torch.device, *, slots: int) -> Recipe:
    if isinstance(recipe.parameterization, GeneratorConfig):  # it is not there yet, and is priced by itself
        recipe = replace(recipe, parameterization=recipe.parameterization.without_prior.parameterization)
    channels = config.model.input.channels
    built = parameterization(recipe, channels=channels, device=device, magnitude=packaged_magnitude())
    return Recipe(config=recipe, dtype=optimize_dtype(recipe, config.executor), parameterization=built, slots=slots)


def _picture(layer: LayerSpec, number: int) -> Picture:
    unit = Channel(layer=layer.name, channel=number % layer.channels)
    return Picture(
        key=fingerprint("timing", number), unit=unit, variant="timing", objective="channel", sign=1, seed=number
    )
