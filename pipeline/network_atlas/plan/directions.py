"""Which layers get directions found in their activations, and the pictures of these. Pure.

What the directions are is known when they are found. So a plan is made without their pictures, as it is for the cells
of maps, and `with_vectors` adds those of the layers whose directions are there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from network_atlas.config.schema import RunConfig
from network_atlas.config.sweep import DirectionsConfig
from network_atlas.errors import SelectionError, did_you_mean
from network_atlas.fingerprints import fingerprint
from network_atlas.layers import OUTPUT
from network_atlas.plan.contents import DirectionsPlan, LayerPlan
from network_atlas.plan.found_units import pictures_of_found
from network_atlas.plan.input_files import NOT_YET_WRITTEN, InputFiles
from network_atlas.plan.patterns import is_glob, matches
from network_atlas.plan.pictures import Picture
from network_atlas.plan.plan import Plan
from network_atlas.plan.tasks import DirectionsTask
from network_atlas.units import Direction

DIRECTIONS_ALGORITHM = 1
"""Raise this number when the same sample gives other directions."""

Named = tuple[str, tuple[float, ...]]
"""A direction's name and vector."""


def with_directions(layers: Sequence[LayerPlan], config: DirectionsConfig) -> tuple[LayerPlan, ...]:
    """Return the layers, those that get directions with their key.

    The output gets none: its channels are classes. Raises SelectionError for the name of a layer that the sweep does
    not select.
    """
    names = [layer.layer.name for layer in layers]
    for pattern in config.include:
        if not is_glob(pattern) and pattern not in names:
            raise SelectionError(
                f"sweep.directions.include: the sweep selects no layer '{pattern}'.{did_you_mean(pattern, names)} "
                "Directions are found in a layer that sweep.select takes; globs may match none"
            )

    def completed(layer: LayerPlan) -> LayerPlan:
        name = layer.layer.name
        if not layer.scan_keys or name == OUTPUT or not any(matches(pattern, name) for pattern in config.include):
            return layer
        settings = (config.count, config.method, config.seed)
        key = fingerprint("directions", DIRECTIONS_ALGORITHM, layer.scan_keys, settings)
        return replace(layer, directions=DirectionsPlan(key=key))

    return tuple(map(completed, layers))


def direction_tasks(plan: Plan, done: Collection[str], inputs: InputFiles = NOT_YET_WRITTEN) -> list[DirectionsTask]:
    """Return a task for each layer of the share whose directions are missing and whose scan is there."""
    tasks = []
    for layer in plan.layers:
        if layer.directions and layer.directions.key not in done and plan.share.has(layer.directions.key):
            files = inputs.of_scan(layer.layer)
            if files is not None:
                tasks.append(DirectionsTask(layer=layer.layer, key=layer.directions.key, scan_files=files))
    return tasks


def with_vectors(plan: Plan, vectors: Mapping[str, Sequence[Named]], config: RunConfig) -> Plan:
    """Return the plan with a picture of each direction; `vectors` has those that are there, by the plan's key."""

    def completed(layer: LayerPlan) -> LayerPlan:
        if layer.directions is None or layer.directions.key not in vectors:
            return layer
        pictures = _pictures(layer, layer.directions, vectors[layer.directions.key], plan, config)
        keys = {picture.key for picture in pictures}
        return replace(layer, pictures=(*(each for each in layer.pictures if each.key not in keys), *pictures))

    return replace(plan, layers=tuple(map(completed, plan.layers)))


def with_expected_directions(plan: Plan, done: Collection[str], config: RunConfig) -> Plan:
    """Return the plan with as many pictures of directions as are asked for and not yet found."""
    named = [(f"direction-{number}", ()) for number in range(config.sweep.directions.count)]
    keys = [layer.directions.key for layer in plan.layers if layer.directions and layer.directions.key not in done]
    return with_vectors(plan, dict.fromkeys(keys, named), config) if keys else plan


def _pictures(
    layer: LayerPlan, directions: DirectionsPlan, vectors: Sequence[Named], plan: Plan, config: RunConfig
) -> tuple[Picture, ...]:
    power = config.sweep.cosine_power
    units = [
        Direction(layer=layer.layer.name, name=text, vector=vector, cosine_power=power) for text, vector in vectors
    ]
    return pictures_of_found("direction", units, directions.key, config.sweep.directions.recipe, plan, config)
