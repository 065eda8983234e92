"""The gradient of a convolution with a stride, by convolutions without one.

The input's pixels fall into phases by their place in the stride. The pixels of one phase are reached by the same taps
of the kernel, so their gradient is a convolution of the output's gradient with these taps.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from network_atlas.models.frozen.geometry import Geometry, Pair, transposed
from network_atlas.models.frozen.memory_order import order_of
from network_atlas.models.frozen.packing import convolved, packed


class Phases:
    """The gradient of maps of one shape, each phase by a convolution of its own: for depthwise and dense kernels."""

    def __init__(self, weight: Tensor, geometry: Geometry, gradient: Tensor, input_shape: torch.Size) -> None:
        self._weight, self._geometry, self._input_shape = weight, geometry, input_shape
        places = itertools.product(range(geometry.stride[0]), range(geometry.stride[1]))
        self._phases = [self._phase(row, column, gradient) for row, column in places]

    def backward(self, gradient: Tensor) -> Tensor:
        """Return the gradient of the input from that of the output, (batch, channels, rows, columns)."""
        result = torch.empty(
            self._input_shape, dtype=gradient.dtype, device=gradient.device, memory_format=order_of(gradient)
        )
        rows, columns = self._geometry.stride
        for phase in self._phases:
            into = result[:, :, phase.row :: rows, phase.column :: columns]
            if phase.weight is None:
                into.zero_()
                continue
            part = convolved(gradient, phase.weight, None, phase.geometry, None)
            # Behind the last output the gradient is zero, which the padding provides; the surplus is cut off.
            into.copy_(part[:, :, phase.top : phase.top + into.shape[2], phase.left : phase.left + into.shape[3]])
        return result

    def _phase(self, row: int, column: int, gradient: Tensor) -> _Phase:
        geometry, (height, width) = self._geometry, self._weight.shape[2:]
        vertical = _Taps.of(row, height, geometry.stride[0], geometry.padding[0])
        horizontal = _Taps.of(column, width, geometry.stride[1], geometry.padding[1])
        rows = len(range(row, self._input_shape[2], geometry.stride[0]))
        columns = len(range(column, self._input_shape[3], geometry.stride[1]))
        if not (vertical.taps and horizontal.taps and rows and columns):
            return _Phase(row, column, None, geometry, 0, 0)
        weight = transposed(self._weight, geometry.groups)[:, :, list(vertical.taps)][:, :, :, list(horizontal.taps)]
        padding = (vertical.padding(gradient.shape[2], rows), horizontal.padding(gradient.shape[3], columns))
        back = Geometry((1, 1), padding, (1, 1), geometry.groups)
        weight = packed(weight.contiguous().to(gradient.dtype), back, gradient)
        return _Phase(row, column, weight, back, padding[0] + vertical.first, padding[1] + horizontal.first)


class JointPhases:
    """The gradient of maps of one shape, all phases by one convolution: each phase's kernels are channels of their own.

    It multiplies with zeros where the phases have fewer taps, so it is for inputs of few channels, such as images.
    """

    def __init__(self, weight: Tensor, geometry: Geometry, gradient: Tensor, input_shape: torch.Size) -> None:
        self._stride, self._input_shape = geometry.stride, input_shape
        height, width = weight.shape[2:]
        vertical = [_Taps.of(n, height, geometry.stride[0], geometry.padding[0]) for n in range(geometry.stride[0])]
        horizontal = [_Taps.of(n, width, geometry.stride[1], geometry.padding[1]) for n in range(geometry.stride[1])]
        (up, tall), (before, wide) = _window(vertical), _window(horizontal)
        self._size = -(-input_shape[2] // geometry.stride[0]), -(-input_shape[3] // geometry.stride[1])
        padding = (
            max(0, -up, self._size[0] - 1 + up + tall - gradient.shape[2]),
            max(0, -before, self._size[1] - 1 + before + wide - gradient.shape[3]),
        )
        self._corner = padding[0] + up, padding[1] + before
        self._back = Geometry((1, 1), padding, (1, 1), 1)
        kernels = _joined(transposed(weight, geometry.groups), vertical, horizontal)
        self._weight = packed(kernels.to(gradient.dtype), self._back, gradient)

    def backward(self, gradient: Tensor) -> Tensor:
        """Return the gradient of the input from that of the output, (batch, channels, rows, columns)."""
        (top, left), (rows, columns), (down, across) = self._corner, self._size, self._stride
        parts = convolved(gradient, self._weight, None, self._back, None)[:, :, top : top + rows, left : left + columns]
        batch, channels, height, width = self._input_shape
        whole = parts.reshape(batch, down, across, channels, rows, columns).permute(0, 3, 4, 1, 5, 2)
        result = whole.reshape(batch, channels, rows * down, columns * across)[:, :, :height, :width]
        return result.contiguous(memory_format=order_of(gradient))


def _joined(kernels: Tensor, vertical: list[_Taps], horizontal: list[_Taps]) -> Tensor:
    """Return the taps of all phases in one window, zeros elsewhere: (phases * inputs, outputs, rows, columns)."""
    (up, tall), (before, wide) = _window(vertical), _window(horizontal)
    joined = kernels.new_zeros(len(vertical), len(horizontal), *kernels.shape[:2], tall, wide)
    for (row, down), (column, across) in itertools.product(enumerate(vertical), enumerate(horizontal)):
        for (at, tap), (beside, tap_beside) in itertools.product(enumerate(down.taps), enumerate(across.taps)):
            there = (down.first - up + at, across.first - before + beside)
            joined[row, column, :, :, there[0], there[1]] = kernels[:, :, tap, tap_beside]
    return joined.flatten(0, 2)


@dataclass(frozen=True, slots=True)
class _Taps:
    """Along one axis: the kernel's taps that reach the pixels of one phase, and the first output that they read.

    Pixel stride * n + phase gets its gradient from the outputs n + first, n + first + 1, ..., by `taps` in this order.
    """

    taps: tuple[int, ...]
    first: int

    @classmethod
    def of(cls, phase: int, size: int, stride: int, padding: int) -> _Taps:
        """Return the taps of a kernel of `size` for the pixels `phase`, `phase` + stride, ..."""
        reach = phase + padding
        taps = tuple(range(reach % stride, size, stride))[::-1]  # output o reads pixel o * stride - padding + tap
        return cls(taps, (reach - taps[0]) // stride if taps else 0)

    def padding(self, outputs: int, pixels: int) -> int:
        """Return the zeros that the outputs need on both sides, so that each of `pixels` finds all it reads."""
        return max(0, -self.first, pixels - 1 + self.first + len(self.taps) - outputs)


@dataclass(frozen=True, slots=True)
class _Phase:
    row: int
    column: int
    weight: Tensor | None
    """None where no tap reaches these pixels, whose gradient is zero, and where maps are too small to have any."""
    geometry: Geometry
    top: int
    left: int


def _window(phases: list[_Taps]) -> Pair:
    """Return the first output that any phase reads, counted from its own pixel, and the length of the common window."""
    reached = [taps for taps in phases if taps.taps]
    first = min(taps.first for taps in reached)
    return first, max(taps.first + len(taps.taps) for taps in reached) - first
