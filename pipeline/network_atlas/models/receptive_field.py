"""Measure receptive fields: the input pixels from which a gradient reaches a layer's position.

Measured on the real network rather than computed from kernel sizes, so that any architecture has an answer. Generated
images with random signs keep a dead ReLU from hiding a pixel; several of them are joined.

The field of a position near the middle of a deep layer is larger than the input, and cut by it on both sides. But the
first position's field ends inside of the input as long as the field is less than about twice as large, and the last
position's begins there. From these four ends (of the first two and the last two positions) follow the size, stride
and centre of all. A layer has such a field only where every measured position has the ends that follow: windows of
attention and transposed convolutions give several positions the same pixels, and have none. No position is measured
on a diagonal of the map, where rows and columns that changed places could not be told apart.

Where something mixes all positions, as squeeze-and-excitation does, a little gradient reaches every pixel. There the
square counts that holds most of the gradient (the effective receptive field; Luo, Li, Urtasun and Zemel 2016).

Max-unpooling puts each value on one position of its window, and zeros on the others, which give no gradient although
they see the window as well. While fields are measured, each value is added to all of its window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from network_atlas.config.schema import InputConfig
from network_atlas.errors import ModelError
from network_atlas.layers import LayerSpec, ReceptiveField
from network_atlas.models.capture import capture
from network_atlas.models.first_pass import example_input, failures_named

FIELD_ALGORITHM = 2
"""Raise this number when the same layer gets another field: a root's stored fields are measured anew then."""
IMAGES = 2
"""Generated images per position."""
POSITIONS = 5
"""Positions that are measured along each axis: the centre, the first, the second, the last but one, the last."""
COLUMN_OF = (0, 2, 4, 1, 3)
"""With each of these positions among the rows, which of them among the columns: none on a diagonal but the centre."""
MOST = 0.95
"""Of the gradient along each axis: what lies outside is too faint to see in a crop."""
FARTHEST = 0.75
"""Part of the input that may lie between a position's place and the middle of a gradient that is everywhere."""

UNPOOLING = {functional.max_unpool1d: 3, functional.max_unpool2d: 4}
"""Functions whose results are measured over whole windows, with the number of axes where images come first."""

Ends = tuple[int, int]
"""First pixel and end, exclusive."""


@dataclass(frozen=True, slots=True)
class _Profile:
    """The size of the gradient that reaches each pixel of one axis from one position, summed over all else."""

    weights: Tensor
    """(pixels,)."""

    @property
    def ends(self) -> Ends | None:
        """Where any gradient arrives."""
        pixels = self.weights.nonzero()
        return (int(pixels[0]), int(pixels[-1]) + 1) if len(pixels) else None

    @property
    def is_everywhere(self) -> bool:
        return self.ends == (0, len(self.weights))

    def is_about(self, place: float, reach: float) -> bool:
        """Say whether the gradient arrives around `place`, a pixel; it may miss it by `reach` pixels."""
        if self.ends is None or self.is_everywhere:
            half = int((self.weights.cumsum(0) < self.weights.sum() / 2).sum())
            return abs(half + 0.5 - place) <= FARTHEST * len(self.weights)
        return self.ends[0] - reach <= place <= self.ends[1] + reach

    def side_of_most(self, middle: float) -> int:
        """Return the side of the shortest interval about `middle` that holds `MOST` of the gradient."""
        distances = (torch.arange(len(self.weights)) + 0.5 - middle).abs()
        # An interval about the middle, since a crop is a square about a position.
        nearest = distances.argsort()
        held = self.weights[nearest].cumsum(0) >= MOST * self.weights.sum()
        return round(2 * float(distances[nearest[int(held.nonzero()[0])]]) + 1)


def with_receptive_fields(model: nn.Module, layers: Sequence[LayerSpec], config: InputConfig) -> tuple[LayerSpec, ...]:
    """Return the layers with their receptive fields filled in.

    Runs one forward pass for each measured position, and in each one backward pass for each layer.
    """
    if not layers:
        return ()
    images = example_input(config, IMAGES).requires_grad_()
    seen: dict[str, tuple[list[_Profile], list[_Profile]]] = {layer.name: ([], []) for layer in layers}
    with failures_named(config):
        for number in range(POSITIONS):
            for name, value in _read(model, layers, images, number).items():
                for profiles, profile in zip(seen[name], _profiles(value, images), strict=True):
                    profiles.append(profile)
    for _, columns in seen.values():
        columns[:] = [columns[COLUMN_OF.index(number)] for number in range(POSITIONS)]
    return tuple(_with_field(layer, seen[layer.name]) for layer in layers)


def _read(model: nn.Module, layers: Sequence[LayerSpec], images: Tensor, number: int) -> dict[str, Tensor]:
    """Return each layer's output at one of its measured positions, its channels summed with random weights."""
    generator = torch.Generator().manual_seed(0)
    read: dict[str, Tensor] = {}

    def receive(layer: LayerSpec, maps: Tensor) -> None:
        # Random weights: the plain sum over the channels of a layer norm is constant.
        row, column = _measured(layer)[number]
        read[layer.name] = (maps[:, :, row, column] * torch.randn(layer.channels, generator=generator)).sum()

    with torch.enable_grad(), _WholeWindows(), capture(model, layers, receive, stop=True) as run:
        run(images * 1.0)  # not the leaf itself: a model may change its input in place
    return read


class _WholeWindows(TorchFunctionMode):
    """Adds the values of max-unpooling to their whole windows while it is entered."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one function of torch's."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if func in UNPOOLING and result.ndim == UNPOOLING[func]:
            pooled = args[0] if args else kwargs["input"]
            return result + functional.interpolate(pooled, size=result.shape[2:], mode="nearest")
        return result


def _measured(layer: LayerSpec) -> list[tuple[int, int]]:
    """Return the measured positions: each row of `_measured_along`, with another column."""
    rows, columns = (_measured_along(size) for size in layer.positions)
    return [(row, columns[number]) for row, number in zip(rows, COLUMN_OF, strict=True)]


def _measured_along(size: int) -> list[int]:
    return [size // 2, 0, min(1, size - 1), max(0, size - 2), size - 1]


def _profiles(read: Tensor, images: Tensor) -> tuple[_Profile, _Profile]:
    """Return how much gradient reaches the rows of the input, and its columns."""
    if not read.requires_grad:
        raise ModelError(
            "a layer's output gives no gradient to the image (its forward runs under no_grad, or detaches), so nothing "
            "can be optimized for it; give a model whose forward is differentiable"
        )
    # All layers of a pass share the graph, so it is kept for the next one.
    (gradient,) = torch.autograd.grad(read, images, retain_graph=True, materialize_grads=True)
    size = gradient.abs().sum(dim=(0, 1), dtype=torch.float64)
    return _Profile(size.sum(dim=1)), _Profile(size.sum(dim=0))


def _with_field(layer: LayerSpec, seen: tuple[list[_Profile], list[_Profile]]) -> LayerSpec:
    axes = [_axis(profiles, positions) for profiles, positions in zip(seen, layer.positions, strict=True)]
    rows, columns = axes
    fits = rows is not None and columns is not None
    side = _side(layer, [profiles[0] for profiles in seen], fits=fits)
    in_place = fits or all(
        _is_in_place(profiles, positions) for profiles, positions in zip(seen, layer.positions, strict=True)
    )
    if not layer.is_raster or (layer.height is not None and not in_place):
        side = None  # nothing says around which place the square would lie
    if layer.tokens is not None or rows is None or columns is None:
        return replace(layer, receptive_field_px=side)
    size, stride, middle = zip(rows, columns, strict=True)
    field = ReceptiveField(size_px=size, stride_px=stride, centre_px=middle)
    return replace(layer, receptive_field_px=side, receptive_field=field)


def _is_in_place(profiles: Sequence[_Profile], positions: int) -> bool:
    """Say whether positions along one axis look at the places of the input that have their numbers."""
    pitch = len(profiles[0].weights) / positions
    return positions == 1 or all(
        profile.is_about((position + 0.5) * pitch, pitch)
        for profile, position in zip(profiles, _measured_along(positions), strict=True)
    )


def _side(layer: LayerSpec, centre: Sequence[_Profile], *, fits: bool) -> int | None:
    """Return the side of the square that the centre position sees; None if it sees nothing."""
    whole = [profile.ends for profile in centre]
    sides = [ends[1] - ends[0] for ends in whole if ends is not None]
    if layer.height is not None and not fits and any(profile.is_everywhere for profile in centre):
        sides = [
            profile.side_of_most((position + 0.5) / positions * len(profile.weights))
            for profile, position, positions in zip(centre, layer.centre, layer.positions, strict=True)
        ]
    return max(sides, default=None)


def _axis(profiles: Sequence[_Profile], positions: int) -> tuple[float, float, float] | None:
    """Return size, stride and centre at position 0 along one axis; None where there are none that fit.

    An end that lies on the border of the input says nothing: the field may reach beyond.
    """
    length = len(profiles[0].weights)
    ends = [profile.ends for profile in profiles]
    known = [pair for pair in ends if pair is not None]
    if len(known) < POSITIONS or positions < 2:
        return None
    _, first, second, before_last, last = known
    # From the first two positions, or the last two where the second one's field reaches the far border already.
    if second[1] < length:
        stride = second[1] - first[1]
    elif before_last[0] > 0:
        stride = last[0] - before_last[0]
    else:
        return None
    if first[1] == length or last[0] == 0 or stride <= 0:
        return None
    measured = list(zip(_measured_along(positions), known, strict=True))
    # Of all, since no position sees more than its box: windows of adaptive pools differ by a pixel.
    start = min(top - position * stride for position, (top, _) in measured)
    size = max(bottom - position * stride for position, (_, bottom) in measured) - start
    for position, (top, bottom) in measured:
        begin = start + position * stride
        # A pixel less: the largest value of a pooling window may lie off its border in all images.
        if top - max(0, begin) > stride or min(length, begin + size) - bottom > stride:
            return None
    return float(size), float(stride), start + size / 2
