"""The units that a variant stands for in a layer. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import assert_never

import numpy as np

from network_atlas.config.sweep import VariantConfig
from network_atlas.fingerprints import fingerprint
from network_atlas.layers import OUTPUT, LayerSpec
from network_atlas.plan.unit_text import check_position
from network_atlas.units import Channel, ClassLogit, ClassProbability, Coactive, Direction, Layer, Neuron, Unit


def variants_for(layer: LayerSpec, variants: Sequence[VariantConfig]) -> tuple[VariantConfig, ...]:
    """Return the pictures that each channel of the layer gets.

    In a layer with a single position, a neuron is the same as its channel. So a neuron variant becomes the channel
    variant of the same sign and seed, and repeats are dropped: no picture is made twice, and no sign is lost.
    """
    if layer.positions != (1, 1):
        return tuple(variants)
    return tuple(
        dict.fromkeys(
            replace(variant, objective="channel", position="centre") if variant.objective == "neuron" else variant
            for variant in variants
        )
    )


def has_units(layer: LayerSpec, variant: VariantConfig, cosine_power: float) -> bool:
    """Say whether a variant stands for any unit in a layer."""
    adapted = variants_for(layer, [variant])
    return any(unit_of(layer, 0, item) or any(whole_layer_units(layer, item, cosine_power)) for item in adapted)


def unit_of(layer: LayerSpec, channel: int, variant: VariantConfig) -> Unit | None:
    """Return the unit that a variant stands for in one channel; None if there is none.

    Only the output has probabilities, only token layers have a class token, and layers and directions belong to no
    single channel.
    """
    is_output = layer.name == OUTPUT
    match variant.objective:
        case "channel" | "neuron" if is_output:
            return ClassLogit(layer=layer.name, channel=channel)
        case "channel":
            return Channel(layer=layer.name, channel=channel)
        case "neuron":
            return _neuron(layer, channel, variant)
        case "probability":
            return ClassProbability(layer=layer.name, channel=channel) if is_output else None
        case "coactive":
            return Coactive(layer=layer.name, channel=channel)
        case "layer" | "direction":
            return None
    assert_never(variant.objective)  # mypy refuses an objective that is not above


def _neuron(layer: LayerSpec, channel: int, variant: VariantConfig) -> Neuron | None:
    if variant.position == "class_token" and layer.tokens is None:
        return None
    row, column = layer.centre
    if variant.position != "centre":
        row, column = (0, 0) if variant.position == "class_token" else variant.position
        check_position(layer, row, column, f"position={row},{column}")
    return Neuron(layer=layer.name, channel=channel, row=row, column=column)


def whole_layer_units(layer: LayerSpec, variant: VariantConfig, cosine_power: float) -> Iterator[Unit]:
    """Yield the units that a variant stands for in a layer as a whole; none for the output."""
    if layer.name == OUTPUT:
        return
    if variant.objective == "layer":
        yield Layer(layer=layer.name)
    for number in range(variant.directions):
        vector = random_direction(layer.channels, seed=f"{variant.seed}/{number}")
        name = f"random-{number}" + (f"@{variant.seed}" if variant.seed else "")
        yield Direction(layer=layer.name, name=name, vector=vector, cosine_power=cosine_power)


def random_direction(channels: int, *, seed: str) -> tuple[float, ...]:
    """Return a random direction, uniform on the unit sphere: shape (channels,), float32 values, the same everywhere."""
    # RandomState, not default_rng: NumPy guarantees that its streams never change, and the vector is part of the key.
    drawn = np.random.RandomState(int(fingerprint("direction", channels, seed)[:8], 16)).standard_normal(channels)
    return tuple((drawn / np.linalg.norm(drawn)).astype(np.float32).tolist())


def objective_of(unit: Unit) -> str:
    """Return the name of the objective for a kind of unit."""
    return unit.objective
