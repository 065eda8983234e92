"""What a variant means in a given layer: its units. Pure."""

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

    In a layer with a single position a neuron *is* its channel. There a neuron variant becomes the channel variant
    of the same sign and seed, once: nothing is made twice, and no sign that was asked for is lost.
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
    """Say whether a variant means anything in a layer."""
    own = variants_for(layer, [variant])
    return any(unit_of(layer, 0, one) or any(whole_layer_units(layer, one, cosine_power)) for one in own)


def unit_of(layer: LayerSpec, channel: int, variant: VariantConfig) -> Unit | None:
    """Return the unit that a variant means for one channel; None where it means none.

    Probabilities are of the output only, class tokens of token layers, and layers and directions are no channel's.
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
    """Yield the units that a variant means for a layer as a whole; none for the output."""
    if layer.name == OUTPUT:
        return
    if variant.objective == "layer":
        yield Layer(layer=layer.name)
    for number in range(variant.directions):
        vector = random_direction(layer.channels, seed=f"{variant.seed}/{number}")
        name = f"random-{number}" + (f"@{variant.seed}" if variant.seed else "")
        yield Direction(layer=layer.name, name=name, vector=vector, cosine_power=cosine_power)


def random_direction(channels: int, *, seed: str) -> tuple[float, ...]:
    """Return a direction drawn evenly from the unit sphere, float32 values, the same on every machine."""
    # RandomState's streams are frozen for good, unlike those of the newer generators.
    drawn = np.random.RandomState(int(fingerprint("direction", channels, seed)[:8], 16)).standard_normal(channels)
    return tuple((drawn / np.linalg.norm(drawn)).astype(np.float32).tolist())


def objective_of(unit: Unit) -> str:
    """Return the objective's name that a kind of unit has."""
    return unit.objective
