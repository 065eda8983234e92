"""Measure receptive fields: the input pixels from which a gradient reaches a layer's position.

Measured on the real network rather than computed from kernel sizes, so that any architecture has an answer. Generated
images with random signs keep a dead ReLU from hiding a pixel; several of them are joined.

The field of a position near the middle of a deep layer is larger than the input, and cut by it on both sides. But the
first position's field ends inside of the input as long as the field is less than about twice as large, and the last
position's begins there. From these four ends (of the first two and the last two positions) follow the size, stride
and centre of all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from network_atlas.config.schema import InputConfig
from network_atlas.errors import ModelError
from network_atlas.layers import LayerSpec, ReceptiveField
from network_atlas.models.capture import capture
from network_atlas.models.facts import example_input

IMAGES = 2
"""Generated images per position."""
POSITIONS = 5
"""Positions that are measured: the centre, the first, the second, the last but one, the last."""

Ends = list[tuple[int, int] | None]


def with_receptive_fields(model: nn.Module, layers: Sequence[LayerSpec], config: InputConfig) -> tuple[LayerSpec, ...]:
    """Return the layers with their receptive fields filled in.

    Runs one forward pass for each measured position, and in each one backward pass for each layer.
    """
    if not layers:
        return ()
    images = example_input(config, IMAGES).requires_grad_()
    seen: dict[str, tuple[Ends, Ends]] = {layer.name: ([], []) for layer in layers}
    for number in range(POSITIONS):
        read = _read(model, layers, images, number)
        if read and not any(value.requires_grad for value in read.values()):
            raise ModelError(
                "the model gives no gradients (its forward runs under no_grad, or detaches), so nothing can be "
                "optimized; give one whose forward is differentiable"
            )
        for name, value in read.items():
            for ends, pair in zip(seen[name], _seen(value, images), strict=True):
                ends.append(pair)
    return tuple(_with_field(layer, seen[layer.name], config) for layer in layers)


def _read(model: nn.Module, layers: Sequence[LayerSpec], images: Tensor, number: int) -> dict[str, Tensor]:
    """Return each layer's output at one of its measured positions, its channels summed with random weights."""
    generator = torch.Generator().manual_seed(0)
    read: dict[str, Tensor] = {}

    def receive(layer: LayerSpec, maps: Tensor) -> None:
        # Random weights: the plain sum over the channels of a layer norm is constant.
        row, column = _measured(layer)[number]
        read[layer.name] = (maps[:, :, row, column] * torch.randn(layer.channels, generator=generator)).sum()

    with torch.enable_grad(), capture(model, layers, receive) as run:
        run(images)
    return read


def _measured(layer: LayerSpec) -> list[tuple[int, int]]:
    """Return the measured positions: the centre, then the first, the second, the last but one, the last."""
    rows, columns = layer.positions
    second = (min(1, rows - 1), min(1, columns - 1))
    before_last = (max(0, rows - 2), max(0, columns - 2))
    return [layer.centre, (0, 0), second, before_last, (rows - 1, columns - 1)]


def _seen(read: Tensor, images: Tensor) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
    """Return first and end (exclusive) of the rows and of the columns that a position sees; None for nothing."""
    if not read.requires_grad:
        return None, None
    (gradient,) = torch.autograd.grad(read, images, retain_graph=True, materialize_grads=True)
    seen = gradient.ne(0).any(dim=0).any(dim=0)
    return _ends(seen.any(dim=1)), _ends(seen.any(dim=0))


def _ends(seen: Tensor) -> tuple[int, int] | None:
    pixels = seen.nonzero()
    return (int(pixels[0]), int(pixels[-1]) + 1) if len(pixels) else None


def _with_field(layer: LayerSpec, seen: tuple[Ends, Ends], config: InputConfig) -> LayerSpec:
    centre = [ends[0] for ends in seen]
    side = max((pair[1] - pair[0] for pair in centre if pair), default=None)
    axes = [
        _axis(ends, positions, length)
        for ends, positions, length in zip(seen, layer.positions, (config.height, config.width), strict=True)
    ]
    rows, columns = axes
    if layer.tokens is not None or rows is None or columns is None:
        return replace(layer, receptive_field_px=side)
    size, stride, middle = zip(rows, columns, strict=True)
    field = ReceptiveField(size_px=size, stride_px=stride, centre_px=middle)
    return replace(layer, receptive_field_px=side, receptive_field=field)


def _axis(ends: Ends, positions: int, length: int) -> tuple[float, float, float] | None:
    """Return size, stride and centre at position 0 along one axis; None where the input hides them.

    An end that lies on the border of the input says nothing: the field may reach beyond.
    """
    _, first, second, before_last, last = ends
    if first is None or second is None or before_last is None or last is None or positions < 2:
        return None
    if second[1] < length:
        stride = second[1] - first[1]
    elif before_last[0] > 0:
        stride = last[0] - before_last[0]
    else:
        return None
    if first[1] == length or last[0] == 0:
        return None
    start = last[0] - (positions - 1) * stride
    return float(first[1] - start), float(stride), (start + first[1]) / 2
