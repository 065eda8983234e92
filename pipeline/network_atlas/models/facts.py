"""List the layers of a model: run it on generated images and record the output of each module.

A layer is any module that runs exactly once in a forward pass and returns one tensor with a channel axis. Others are
listed with the reason why they can't be captured. The model's own output is the last layer, named 'output'.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from network_atlas.config.schema import InputConfig, ModelConfig
from network_atlas.errors import ConfigError, ModelError
from network_atlas.layers import OUTPUT, LayerSpec, ModelFacts
from network_atlas.models.batches import ROWS, place_difference
from network_atlas.models.load import class_names, described
from network_atlas.models.upstream import upstream_hashes

BATCH = ROWS[-1]
TIMED_PASSES = 3
"""The fastest counts: the others were disturbed."""
CHANNELS_FIRST = ("_ConvNd", "_BatchNorm", "_InstanceNorm", "GroupNorm", "_MaxPoolNd", "_AvgPoolNd", "LayerNorm2d")
CHANNELS_LAST = ("Linear", "LayerNorm", "Embedding", "MultiheadAttention")


@dataclass(slots=True)
class _Seen:
    """A module as the trace saw it."""

    name: str
    module: nn.Module
    taken: bool = False
    """Whether its name is the one reserved for the model's own output."""
    calls: int = 0
    output: object = None
    end_seconds: float = 0.0


@dataclass(slots=True)
class _Trace:
    order: list[_Seen] = field(default_factory=list)
    total_seconds: float = 0.0


def model_facts(model: nn.Module, config: ModelConfig) -> ModelFacts:
    """Return everything that planning needs to know of `model`; runs it on a batch of generated images."""
    trace = _run(model, config.input)
    layers, unsupported = _layers(trace)
    named = [seen for seen in trace.order if not seen.taken]
    bases = {seen.name: _class_names(seen.module) for seen in named}
    return ModelFacts(
        layers=tuple(layers),
        bases=bases,
        unsupported=unsupported,
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


def example_input(config: InputConfig, batch: int = BATCH) -> Tensor:
    """Return generated images, normalized, the same every time: (batch, channels, height, width)."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, config.channels, config.height, config.width, generator=generator)


def batch_difference(model: nn.Module, config: InputConfig) -> float | None:
    """Return how far an image's output differs at most, relative to the largest, when its place in the batch and the
    other images change, on this machine's processor.

    0.0 means the same bits, None that it can't be said: the output is not a tensor, or has no finite values. Takes two
    passes of `BATCH` images.
    """
    with _failure_named(config), torch.inference_mode():
        difference = place_difference(model, example_input(config).contiguous(memory_format=torch.channels_last))
    return None if math.isnan(difference) else difference


def _run(model: nn.Module, config: InputConfig) -> _Trace:
    with _failure_named(config):
        images = example_input(config).contiguous(memory_format=torch.channels_last)
        model.to(memory_format=torch.channels_last)  # as workers run it, so that the measured time is theirs
        with torch.inference_mode():
            model(images)  # a first pass, so that one-time work is not timed
            return min((_traced(model, images) for _ in range(TIMED_PASSES)), key=lambda trace: trace.total_seconds)


@contextlib.contextmanager
def _failure_named(config: InputConfig) -> Iterator[None]:
    """Raise ModelError, with the reason and the fix, for whatever the model raises on generated images."""
    try:
        yield
    except (Exception, SystemExit) as error:  # foreign code: any exception is possible
        raise ModelError(
            f"the model failed on a {config.channels} x {config.height} x {config.width} input: "
            f"{described(error)}. Check model.input."
        ) from error


def _traced(model: nn.Module, images: Tensor) -> _Trace:
    trace = _Trace()
    seen = {module: _Seen(name or OUTPUT, module, taken=name == OUTPUT) for name, module in model.named_modules()}
    start = time.perf_counter()

    def hook(module: nn.Module, inputs: object, output: object) -> None:
        record = seen[module]
        record.calls += 1
        record.output = _shape_only(output)
        record.end_seconds = time.perf_counter() - start
        if record.calls == 1:
            trace.order.append(record)

    handles = [module.register_forward_hook(hook) for module in seen]
    try:
        model(images)
        trace.total_seconds = time.perf_counter() - start
    finally:
        for handle in handles:
            handle.remove()
    return trace


def _shape_only(output: object) -> object:
    """Return a tensor's shape (the values may be overwritten later), or the output itself."""
    return output.shape if isinstance(output, Tensor) else type(output).__name__


def _layers(trace: _Trace) -> tuple[list[LayerSpec], dict[str, str]]:
    layers: list[LayerSpec] = []
    unsupported: dict[str, str] = {}
    axes: dict[torch.Size, int] = {}
    for index, seen in enumerate(trace.order):
        reason = _refusal(seen)
        if reason:
            unsupported[f"{seen.name} ({type(seen.module).__name__})" if seen.taken else seen.name] = reason
            continue
        assert isinstance(seen.output, torch.Size)
        axis = axes[seen.output] = _channel_axis(seen.module, seen.output, axes)
        layers.append(_spec(index, seen, axis))
    return layers, unsupported


def _refusal(seen: _Seen) -> str:
    if seen.taken:
        return "has the name that is reserved for the model's own output"
    if seen.calls > 1:
        return f"runs {seen.calls} times in one forward pass"
    if not isinstance(seen.output, torch.Size):
        return f"returns a {seen.output}"
    if len(seen.output) not in (2, 3, 4):
        return f"its output {tuple(seen.output)} has no channel axis"
    if seen.output[0] != BATCH:
        return f"its output {tuple(seen.output)} does not keep one row per image"
    return ""


def _channel_axis(module: nn.Module, shape: torch.Size, known: dict[torch.Size, int]) -> int:
    """Return 1 or -1.

    The types of activations and containers don't show it: they follow the last output of the same shape.
    """
    names = _class_names(module)
    if len(shape) == 2 or any(name in CHANNELS_FIRST for name in names):
        return 1
    if any(name in CHANNELS_LAST for name in names):
        return -1
    order = getattr(module, "dims", None)  # torchvision.ops.Permute
    if isinstance(order, list | tuple) and len(order) == len(shape):
        return -1 if order[-1] == 1 else 1
    return known.get(shape, 1 if len(shape) == 4 else -1)


def _spec(index: int, seen: _Seen, axis: int) -> LayerSpec:
    assert isinstance(seen.output, torch.Size)
    sizes = list(seen.output[1:])
    channels = sizes.pop(0 if axis == 1 else -1)
    height, width = sizes if len(sizes) == 2 else (None, None)
    return LayerSpec(
        index=index,
        name=seen.name,
        type=type(seen.module).__name__,
        channels=channels,
        height=height,
        width=width,
        tokens=sizes[0] if len(sizes) == 1 else None,
        channel_axis=axis,
    )


def _class_names(module: nn.Module) -> tuple[str, ...]:
    return tuple(base.__name__ for base in type(module).__mro__ if base not in (nn.Module, object))
