"""List the layers of a model: run it on generated images and record the output of each module.

A layer is any module that runs exactly once in a forward pass and returns one tensor of real numbers, of which one axis
holds channels and from which a gradient leads to the image. Others are listed with the reason why they can't be
captured. The model's own output is the last layer, named 'output'.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from network_atlas.config.schema import InputConfig, ModelConfig
from network_atlas.errors import ConfigError, ModelError
from network_atlas.layers import OUTPUT, LayerSpec, ModelFacts
from network_atlas.models.axes.tracer import are_lost, channel_axis
from network_atlas.models.batches import place_difference
from network_atlas.models.distinct import repeats
from network_atlas.models.first_pass import BATCH, example_input, failures_named
from network_atlas.models.load import class_names
from network_atlas.models.seen import Seen, Trace, is_scripted
from network_atlas.models.trace import FEW, traced
from network_atlas.models.upstream import upstream_hashes

CHANNELS_SECOND = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d)
"""Layers whose type says that their channels come behind the images. They are asked where operations say nothing."""


def model_facts(model: nn.Module, config: ModelConfig) -> ModelFacts:
    """Return everything that planning needs to know of `model`; runs it on a batch of generated images."""
    trace = traced(model, config.input)
    layers, unsupported = _layers(trace)
    if not layers:
        listed = "\n  ".join(f"{name}: {reason}" for name, reason in unsupported.items())
        raise ModelError(f"no layer of the model can be captured:\n  {listed}")
    named = [seen for seen in trace.order if not seen.taken]
    bases = {seen.name: _class_names(seen.module) for seen in named}
    return ModelFacts(
        layers=tuple(layers),
        bases=bases,
        unsupported=unsupported,
        repeats=repeats([seen for seen in trace.order if seen.name not in unsupported]),
        upstream=upstream_hashes(model, [layer.name for layer in layers], [seen.name for seen in named]),
        share={seen.name: min(1.0, seen.end_seconds / trace.total_seconds) for seen in named},
        forward_seconds=trace.total_seconds / BATCH,
        class_names=_fitting_names(config, layers),
    )


def _fitting_names(config: ModelConfig, layers: list[LayerSpec]) -> tuple[str, ...]:
    """Return the names of the model's classes; none where the model has other classes than ImageNet's."""
    names = class_names(config)
    output = next((layer for layer in layers if layer.name == OUTPUT), None)
    if not names or output is None or len(names) == output.channels:
        return names
    if config.classes == "imagenet":  # a default for models by name, which may have been given other classes
        return ()
    raise ConfigError(
        f"model.classes={config.classes!r} has {len(names)} names, the model has {output.channels} outputs; "
        "give one name a line for each, or model.classes=none."
    )


def batch_difference(model: nn.Module, config: InputConfig) -> float | None:
    """Return how far an image's output differs at most, relative to the largest, when its place in the batch and the
    other images change, on this machine's processor.

    0.0 means the same bits, None that it can't be said: the output is not a tensor, or has no finite values. Takes two
    passes of `BATCH` images.
    """
    with failures_named(config), torch.inference_mode():
        difference = place_difference(model, example_input(config).contiguous(memory_format=torch.channels_last))
    return None if math.isnan(difference) else difference


def _layers(trace: Trace) -> tuple[list[LayerSpec], dict[str, str]]:
    layers: list[LayerSpec] = []
    unsupported: dict[str, str] = {}
    for index, seen in enumerate(trace.order):
        axis, reason = _channel_axis(seen)
        if reason:
            unsupported[seen.name] = reason
        else:
            layers.append(_spec(index, seen, axis))
    return layers, unsupported | {seen.name: _not_called(seen) for seen in trace.not_called}


def _not_called(seen: Seen) -> str:
    if is_scripted(seen.module):
        return "was compiled by torch.jit.script, which hides what its modules return"
    return "is not called as a module (it is not used, or another module reads its weights or calls its forward)"


def _channel_axis(seen: Seen) -> tuple[int, str]:
    """Return which axis of a module's output holds the channels, and '' or the reason why it can't be captured."""
    reason = _form_problem(seen) or _value_problem(seen)
    if reason:
        return 0, reason
    axis, reason = channel_axis(seen.axes)
    rank = 0 if seen.shape is None else len(seen.shape)
    undecided = bool(reason) and are_lost(seen.axes)
    if type(seen.module) is nn.Linear and (undecided or not reason):
        axis = rank - 1  # its channels are its outputs, also where it mixes positions
    elif undecided and (rank == 2 or type(seen.module) in CHANNELS_SECOND):
        axis = 1
    return axis, "" if axis else reason


def _form_problem(seen: Seen) -> str:
    if seen.taken:
        return "has the name that is reserved for the model's own output"
    if seen.calls > 1:
        return f"runs {seen.calls} times in one forward pass"
    shape, few = seen.shape, seen.shape_of_few
    if shape is None or few is None:
        several = f"returns several values or none ({seen.returns}), not one tensor"
        return several if seen.returns else "does not run in every forward pass"
    if not shape or shape[0] != BATCH or few[0] != FEW or shape[1:] != few[1:]:
        return f"its output {tuple(shape)} does not keep one row per image"
    if len(shape) not in (2, 3, 4):
        axes = "1 axis" if len(shape) == 1 else f"{len(shape)} axes"
        return f"its output {tuple(shape)} has {axes}; vectors, tokens and maps have 2, 3 and 4"
    return ""


def _value_problem(seen: Seen) -> str:
    if seen.dtype is not None and not seen.dtype.is_floating_point:
        return f"its output holds {str(seen.dtype).removeprefix('torch.')} values, not real numbers"
    if seen.is_random:
        return (
            "two passes over the same images differ: something random is left on before it, such as dropout that does "
            "not follow the model's evaluation mode, or each pass changes what the next one starts from"
        )
    if seen.depends_on_others:
        return (
            "an image's values depend on the other images of its batch, or on its place there, as with batch "
            "statistics that don't follow the model's evaluation mode"
        )
    if not seen.has_gradient:
        return (
            "no gradient leads from it to the image (not computed from it, under no_grad, detached, changed in place)"
        )
    return ""


def _spec(index: int, seen: Seen, axis: int) -> LayerSpec:
    assert seen.shape is not None
    sizes = list(seen.shape[1:])
    channels = sizes.pop(axis - 1)
    height, width = sizes if len(sizes) == 2 else (None, None)
    return LayerSpec(
        index=index,
        name=seen.name,
        type=type(seen.module).__name__,
        channels=channels,
        height=height,
        width=width,
        tokens=sizes[0] if len(sizes) == 1 else None,
        channel_axis=-1 if axis == len(seen.shape) - 1 > 1 else axis,
    )


def _class_names(module: nn.Module) -> tuple[str, ...]:
    return tuple(base.__name__ for base in type(module).__mro__ if base not in (nn.Module, object))
