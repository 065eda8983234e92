"""List the layers of a model: run it on generated images and record the output of each module.

A layer is any module that runs in a forward pass and returns one tensor of real numbers, of which one axis holds
channels and from which a gradient leads to the image. A module that runs more than once is a layer for each of its
calls, 'relu#1', 'relu#2', in the order in which they finish. Others are listed with the reason why they can't be
captured. The model's own output is the last layer, named 'output'.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

from network_atlas.config.schema import InputConfig, ModelConfig
from network_atlas.errors import ConfigError, ModelError
from network_atlas.fingerprints import fingerprint
from network_atlas.layers import OUTPUT, LayerSpec, ModelFacts
from network_atlas.models.axes.tracer import FOLDED, are_lost, channel_axis, images_first, is_raster
from network_atlas.models.batches import place_difference
from network_atlas.models.distinct import repeats
from network_atlas.models.first_pass import BATCH, example_input, failures_named
from network_atlas.models.half_size import takes_half_size
from network_atlas.models.load import class_names
from network_atlas.models.module_hashes import ModuleHashes
from network_atlas.models.seen import Seen, Trace, is_scripted
from network_atlas.models.trace import FEW, traced
from network_atlas.models.upstream import upstream_of

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
    modules = ModuleHashes(config.version)
    upstream = upstream_of(model, [layer.name for layer in layers], [seen.name for seen in named], modules)
    version = config.version
    return ModelFacts(
        layers=tuple(layers),
        bases=bases,
        unsupported=_once_per_module(trace.order, unsupported),
        repeats=repeats([seen for seen in trace.order if seen.name not in unsupported]),
        # A version counts for every layer: the user says that the network is another one.
        upstream={name: fingerprint(hash_, version) if version else hash_ for name, hash_ in upstream.hashes.items()},
        share={seen.name: min(1.0, seen.end_seconds / trace.total_seconds) for seen in named},
        forward_seconds=trace.total_seconds / BATCH,
        class_names=_fitting_names(config, layers),
        takes_half=takes_half_size(model, config.input, torch.device("cpu")),
        contents=modules.contents(model),
        lowest={seen.name: seen.lowest for seen in named if seen.lowest is not None},
        parts=upstream.parts,
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


def _once_per_module(order: Sequence[Seen], unsupported: dict[str, str]) -> dict[str, str]:
    """Return the refused layers, a module once if each of its calls is refused for the same reason.

    A cell that returns its state beside its output is called for each step of a sequence.
    """
    calls: dict[nn.Module, list[Seen]] = {}
    for seen in order:
        if seen.calls > 1 and not seen.taken and seen.name != OUTPUT:
            calls.setdefault(seen.module, []).append(seen)
    names: dict[str, str] = {}
    for each in calls.values():
        first, *others = each
        if others and {unsupported.get(seen.name, "") for seen in each} == {unsupported.get(first.name)}:
            names |= dict.fromkeys((seen.name for seen in others), "") | {first.name: first.name.removesuffix("#1")}
    times = {seen.name: seen.calls for seen in order}
    return {
        names.get(name, name): f"{reason}, in each of its {times[name]} calls" if name in names else reason
        for name, reason in unsupported.items()
        if names.get(name, name)
    }


VARIES = (
    "which modules run up to it changes from image to image (its forward branches on values, as early exits and some "
    "loops do, or on chance), so an image's values would depend on the others of its batch"
)


def _not_called(seen: Seen) -> str:
    if seen.varies:
        return VARIES
    if is_scripted(seen.module):
        return "was compiled by torch.jit.script, which hides what its modules return"
    return "is not called as a module (it is not used, or another module reads its weights or calls its forward)"


def _channel_axis(seen: Seen) -> tuple[int, str]:
    """Return which axis of a module's output holds the channels, and '' or the reason why it can't be captured."""
    reason = seen.fault or _form_problem(seen) or _value_problem(seen)
    if reason:
        return 0, reason
    axis, reason = channel_axis(images_first(seen.axes) if seen.axes else None)
    rank = 0 if seen.shape is None else len(seen.shape)
    undecided = bool(reason) and are_lost(seen.axes)
    if type(seen.module) is nn.Linear and (undecided or not reason):
        axis = rank - 1  # its channels are its outputs, also where it mixes positions
    elif undecided and (rank == 2 or type(seen.module) in CHANNELS_SECOND):
        axis = 1
    return axis, "" if axis else reason


def _form_problem(seen: Seen) -> str:
    if seen.taken:
        return f"has {seen.taken}"
    if seen.varies:
        return VARIES
    if seen.calls > 1 and seen.name == OUTPUT:
        return f"the model runs itself: {seen.calls} times in one forward pass"
    if seen.unreadable:
        return f"its output {seen.unreadable}"
    if seen.shape is None or seen.shape_of_few is None:
        return _returns_problem(seen) if seen.returns else "does not run in every forward pass"
    shape, few = (_images_first(sizes, seen.batch_axis) for sizes in (seen.shape, seen.shape_of_few))
    if not shape or not few or shape[0] != BATCH or few[0] != FEW or shape[1:] != few[1:]:
        learned = "" if seen.has_gradient else "; no gradient leads from it to the image, as from what is learned alone"
        return f"its output {tuple(seen.shape)} {_rows_problem(seen.shape, seen.shape_of_few)}{learned}"
    if len(shape) not in (2, 3, 4):
        axes = "1 axis" if len(shape) == 1 else f"{len(shape)} axes"
        return f"its output {tuple(seen.shape)} has {axes}; vectors, tokens and maps have 2, 3 and 4"
    return ""


def _rows_problem(shape: Sequence[int], few: Sequence[int]) -> str:
    """Return what is wrong with the first axis of an output, (rows, ...), for a full batch and for few images."""
    rows, over = divmod(shape[0], BATCH) if shape else (0, 0)
    if rows > 1 and not over and few[:1] == (rows * FEW,):
        return f"has {rows} rows for each image, {FOLDED}"
    return "does not keep one row per image"


def _images_first(shape: Sequence[int], batch_axis: int) -> tuple[int, ...]:
    return (*shape[batch_axis : batch_axis + 1], *shape[:batch_axis], *shape[batch_axis + 1 :])


def _returns_problem(seen: Seen) -> str:
    problem = f"returns several values or none ({seen.returns}), not one tensor"
    if seen.name != OUTPUT or ": " not in seen.returns:
        return problem
    return f"{problem}; say which of these is the model's output with model.output=NAME"


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
    sizes = list(_images_first(seen.shape, seen.batch_axis)[1:])
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
        is_raster=len(sizes) != 1 or _is_raster(seen, axis),
        batch_axis=seen.batch_axis,
        channel_axis=-1 if axis == len(seen.shape) - 1 > 1 else axis,
    )


def _is_raster(seen: Seen, channel_axis: int) -> bool:
    axes = images_first(seen.axes) if seen.axes else ()
    return is_raster(tuple(factors for number, factors in enumerate(axes) if number not in (0, channel_axis)))


def _class_names(module: nn.Module) -> tuple[str, ...]:
    return tuple(base.__name__ for base in type(module).__mro__ if base not in (nn.Module, object))
