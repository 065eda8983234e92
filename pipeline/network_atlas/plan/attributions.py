"""Which layers are attributed, the key of each channel's attribution, and the tasks that are still to do. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from network_atlas.config.attribute import AttributeConfig
from network_atlas.config.declare import ATTRIBUTE
from network_atlas.config.determines import determining
from network_atlas.errors import SelectionError, did_you_mean
from network_atlas.fingerprints import fingerprint
from network_atlas.layers import LayerSpec, Repeat
from network_atlas.plan.contents import LayerPlan
from network_atlas.plan.input_files import NOT_YET_WRITTEN, InputFiles
from network_atlas.plan.patterns import is_glob, matches
from network_atlas.plan.plan import Plan
from network_atlas.plan.tasks import AttributeTask

ATTRIBUTION_ALGORITHM = 4
"""Raise this number when the same channel's attribution changes."""


def attribution_keys(
    layers: Sequence[LayerPlan], config: AttributeConfig, random_ids: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Return the keys of the attributions of each chosen layer's channels, by the layer's name.

    They depend on the layer's scan, whose key covers the network up to the layer and the dataset. Raises SelectionError
    for the name of a layer that the sweep does not select.
    """
    names = [layer.layer.name for layer in layers]
    for pattern in config.layers:
        if not is_glob(pattern) and pattern not in names:
            raise SelectionError(
                f"attribute.layers: the sweep selects no layer '{pattern}'.{did_you_mean(pattern, names)} "
                "Give a layer that sweep.select takes; globs may match none"
            )
    settings = determining(config, ATTRIBUTE)
    return {
        layer.layer.name: tuple(
            fingerprint("attribution", ATTRIBUTION_ALGORITHM, layer.scan_keys, tuple(random_ids), settings, channel)
            for channel in layer.channels
        )
        for layer in layers
        if layer.scan_keys and layer.channels and any(matches(pattern, layer.layer.name) for pattern in config.layers)
    }


def owners(layers: Sequence[LayerSpec], repeats: Mapping[str, Repeat]) -> dict[str, str]:
    """Return the layers at which a pass may be cut, each with the layer whose channels it has.

    These are the layers with channels of their own, and those behind one of them that have as many channels: whether
    these are the same ones, in the same order, is seen in a pass (`models.cuts.passing_on`).
    """
    by_name = {layer.name: layer for layer in layers}

    def owner(layer: LayerSpec) -> str:
        if layer.name not in repeats:
            return layer.name
        source = by_name.get(repeats[layer.name].of)
        is_behind = source is not None and source.index < layer.index and source.channels == layer.channels
        return source.name if source is not None and is_behind else ""

    return {layer.name: name for layer in layers if (name := owner(layer))}


def attribute_tasks(plan: Plan, done: Collection[str], inputs: InputFiles = NOT_YET_WRITTEN) -> list[AttributeTask]:
    """Return tasks for the channels that are not yet attributed, in blocks; none for a layer whose scan is missing."""
    cuts = tuple(sorted((plan.model_layers[name] for name in plan.passed_on), key=lambda layer: layer.index))
    tasks = []
    for layer in plan.layers:
        keys = plan.attributions.get(layer.layer.name, ())
        missing = [pair for pair in zip(layer.channels, keys, strict=False) if pair[1] not in done]
        scan = inputs.of_scan(layer.layer) if missing else None
        if scan is None:
            continue
        before = tuple(cut for cut in cuts if cut.index < layer.layer.index)
        for start in range(0, len(missing), plan.block):
            block = missing[start : start + plan.block]
            task = AttributeTask(
                layer=layer.layer,
                channels=tuple(channel for channel, _ in block),
                keys=tuple(key for _, key in block),
                cuts=before,
                owners={cut.name: plan.passed_on[cut.name] for cut in before},
                random_ids=plan.random_ids,
                scan_files=scan,
                examples=plan.spans[-1].stop if plan.spans else 0,
            )
            tasks.append(task)
    return tasks
