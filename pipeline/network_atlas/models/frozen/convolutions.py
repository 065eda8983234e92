"""Convolutions with fixed weights: prepared once, with what follows in one call, and a convolution backward too.

The gradient towards the input of a convolution is itself a convolution of the output's gradient, with the kernels
transposed and flipped. Libraries have fast code for convolutions forward; torch's own backward of depthwise ones in
bfloat16 is 20 to 60 times slower than forward (measured on a processor with AMX), and each call copies weights into
another order of memory. With a stride, the input's pixels fall into groups (`phases`) by their position in the stride,
and the gradient of each group is a convolution without a stride.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from network_atlas.models.frozen.activations import activate, gradient_through
from network_atlas.models.frozen.calls import Activation, ConvolutionCall
from network_atlas.models.frozen.memory_order import onednn_formats, order_of

FEW_CHANNELS = 4
"""Inputs with no more channels (images) get the gradient of all phases from one convolution: reading takes longest."""

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Geometry:
    """Where the kernels of a convolution touch its input; (rows, columns)."""

    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int


class Kernels:
    """The weights of one convolution with a bias, for all number formats in which it is called."""

    def __init__(self, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> None:
        self.weight = weight
        """(outputs, inputs of a group, rows, columns), float32."""
        self.bias = bias
        self.geometry = geometry
        self._prepared: dict[tuple[object, ...], Any] = {}

    def forward(self, images: Tensor, activation: Activation | None) -> Tensor:
        """Return the convolution of maps, (batch, channels, rows, columns), and what `activation` makes of it."""
        weight, bias = self._forward_weights(images)
        geometry = self.geometry
        return convolved(images, weight, bias, geometry, activation)

    def backward(self, gradient: Tensor, input_shape: torch.Size) -> Tensor:
        """Return the gradient of the input, of shape `input_shape`, from that of the output."""
        way = self._way_back if gradient.device.type == "cpu" else "torch"  # cuDNN's own is fast for all kernels
        if way == "stride 1":
            return self._backward_dense(gradient, input_shape)
        if way == "joint":
            return self._backward_joint(gradient, input_shape)
        if way == "phases":
            return self._backward_phases(gradient, input_shape)
        return self._backward_torch(gradient, input_shape)

    @cached_property
    def _way_back(self) -> str:
        geometry, kernel = self.geometry, self.weight.shape[2:]
        if any(
            padding > dilation * (size - 1)
            for padding, dilation, size in zip(geometry.padding, geometry.dilation, kernel, strict=True)
        ):
            return "torch"
        if geometry.stride == (1, 1):
            return "stride 1"
        if geometry.dilation != (1, 1) and tuple(kernel) != (1, 1):
            return "torch"
        if geometry.groups == 1 and self.weight.shape[1] <= FEW_CHANNELS:
            return "joint"
        is_depthwise = geometry.groups > 1 and self.weight.shape[1] == 1
        return "phases" if is_depthwise or tuple(kernel) == (1, 1) else "torch"

    def _forward_weights(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the weights for maps of this format; in the library's own order where it has one."""
        key = ("forward", *_form(images))
        if key not in self._prepared:
            weight = _packed(self.weight.to(images.dtype), self.geometry, images)
            # oneDNN adds a bias before it rounds to bfloat16, so its bias need not be rounded; torch's own must be.
            bias = self.bias if self.bias is None or _is_packed(images) else self.bias.to(images.dtype)
            self._prepared[key] = weight, bias
        prepared: tuple[Tensor, Tensor | None] = self._prepared[key]
        return prepared

    def _backward_dense(self, gradient: Tensor, input_shape: torch.Size) -> Tensor:
        geometry = self.geometry
        padding = tuple(
            dilation * (size - 1) - padding
            for padding, dilation, size in zip(geometry.padding, geometry.dilation, self.weight.shape[2:], strict=True)
        )
        back = Geometry((1, 1), (padding[0], padding[1]), geometry.dilation, geometry.groups)
        key = ("backward", *_form(gradient))
        if key not in self._prepared:
            flipped = _transposed(self.weight, geometry.groups).flip(2, 3)
            self._prepared[key] = _packed(flipped.to(gradient.dtype), back, gradient)
        return convolved(gradient, self._prepared[key], None, back, None)

    def _backward_phases(self, gradient: Tensor, input_shape: torch.Size) -> Tensor:
        """Compute each phase's gradient by a convolution of its own, and put them beside each other."""
        result = torch.empty(
            input_shape, dtype=gradient.dtype, device=gradient.device, memory_format=order_of(gradient)
        )
        rows, columns = self.geometry.stride
        for phase in self._phases(gradient, input_shape):
            into = result[:, :, phase.row :: rows, phase.column :: columns]
            if phase.weight is None:
                into.zero_()
                continue
            part = convolved(gradient, phase.weight, None, phase.geometry, None)
            # Behind the last output the gradient is zero, which the padding provides; the surplus is cut off.
            into.copy_(part[:, :, phase.top : phase.top + into.shape[2], phase.left : phase.left + into.shape[3]])
        return result

    def _phases(self, gradient: Tensor, input_shape: torch.Size) -> list[_Phase]:
        key = ("phases", *_form(gradient), input_shape)
        if key not in self._prepared:
            stride = self.geometry.stride
            self._prepared[key] = [
                self._phase(row, column, gradient, input_shape)
                for row, column in itertools.product(range(stride[0]), range(stride[1]))
            ]
        phases: list[_Phase] = self._prepared[key]
        return phases

    def _phase(self, row: int, column: int, gradient: Tensor, input_shape: torch.Size) -> _Phase:
        geometry, (height, width) = self.geometry, self.weight.shape[2:]
        vertical = _Taps.of(row, height, geometry.stride[0], geometry.padding[0])
        horizontal = _Taps.of(column, width, geometry.stride[1], geometry.padding[1])
        if not vertical.taps or not horizontal.taps:
            return _Phase(row, column, None, geometry, 0, 0)
        weight = _transposed(self.weight, geometry.groups)[:, :, list(vertical.taps)][:, :, :, list(horizontal.taps)]
        count = [
            len(range(row, input_shape[2], geometry.stride[0])),
            len(range(column, input_shape[3], geometry.stride[1])),
        ]
        padding = (
            vertical.padding(gradient.shape[2], count[0]),
            horizontal.padding(gradient.shape[3], count[1]),
        )
        back = Geometry((1, 1), padding, (1, 1), geometry.groups)
        packed = _packed(weight.contiguous().to(gradient.dtype), back, gradient)
        return _Phase(row, column, packed, back, padding[0] + vertical.first, padding[1] + horizontal.first)

    def _backward_joint(self, gradient: Tensor, input_shape: torch.Size) -> Tensor:
        """Compute all phases' gradients by one convolution that has each phase's kernels as channels of its own."""
        stride = self.geometry.stride
        key = ("joint", *_form(gradient), input_shape)
        if key not in self._prepared:
            self._prepared[key] = self._joint(gradient, input_shape)
        weight, back, (top, left), (rows, columns) = self._prepared[key]
        parts = convolved(gradient, weight, None, back, None)[:, :, top : top + rows, left : left + columns]
        batch, channels = input_shape[:2]
        whole = parts.reshape(batch, stride[0], stride[1], channels, rows, columns).permute(0, 3, 4, 1, 5, 2)
        result = whole.reshape(batch, channels, rows * stride[0], columns * stride[1])
        return result[:, :, : input_shape[2], : input_shape[3]].contiguous(memory_format=order_of(gradient))

    def _joint(self, gradient: Tensor, input_shape: torch.Size) -> tuple[Tensor, Geometry, Pair, Pair]:
        """Return the kernels of all phases in one common window, and where their output begins and how large it is."""
        geometry, (height, width) = self.geometry, self.weight.shape[2:]
        vertical = [_Taps.of(n, height, geometry.stride[0], geometry.padding[0]) for n in range(geometry.stride[0])]
        horizontal = [_Taps.of(n, width, geometry.stride[1], geometry.padding[1]) for n in range(geometry.stride[1])]
        (up, tall), (before, wide) = _window(vertical), _window(horizontal)
        transposed = _transposed(self.weight, geometry.groups)
        inputs, outputs = transposed.shape[:2]
        weight = transposed.new_zeros(len(vertical), len(horizontal), inputs, outputs, tall, wide)
        for (row, down), (column, across) in itertools.product(enumerate(vertical), enumerate(horizontal)):
            for (at, tap), (beside, tap_beside) in itertools.product(enumerate(down.taps), enumerate(across.taps)):
                there = (down.first - up + at, across.first - before + beside)
                weight[row, column, :, :, there[0], there[1]] = transposed[:, :, tap, tap_beside]
        rows, columns = -(-input_shape[2] // geometry.stride[0]), -(-input_shape[3] // geometry.stride[1])
        padding = (
            max(0, -up, rows - 1 + up + tall - gradient.shape[2]),
            max(0, -before, columns - 1 + before + wide - gradient.shape[3]),
        )
        back = Geometry((1, 1), padding, (1, 1), 1)
        packed = _packed(weight.flatten(0, 2).to(gradient.dtype), back, gradient)
        return packed, back, (padding[0] + up, padding[1] + before), (rows, columns)

    def _backward_torch(self, gradient: Tensor, input_shape: torch.Size) -> Tensor:
        geometry = self.geometry
        key = ("torch", gradient.dtype)
        if key not in self._prepared:
            self._prepared[key] = self.weight.to(gradient.dtype)
        # Only the shape of the input matters here: an expanded number takes no memory.
        images = gradient.new_empty(1).expand(input_shape)
        result: Tensor = torch.ops.aten.convolution_backward(
            gradient,
            images,
            self._prepared[key],
            None,
            geometry.stride,
            geometry.padding,
            geometry.dilation,
            False,
            (0, 0),
            geometry.groups,
            (True, False, False),
        )[0]
        return result


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
    """None where no tap reaches these pixels: their gradient is zero."""
    geometry: Geometry
    top: int
    left: int


def _window(phases: list[_Taps]) -> Pair:
    """Return the first output that any phase reads, counted from its own pixel, and the length of the common window."""
    reached = [taps for taps in phases if taps.taps]
    first = min(taps.first for taps in reached)
    return first, max(taps.first + len(taps.taps) for taps in reached) - first


def _transposed(weight: Tensor, groups: int) -> Tensor:
    """Return kernels with inputs and outputs exchanged, group by group: (inputs, outputs of a group, rows, columns)."""
    outputs, inputs, *kernel = weight.shape
    swapped = weight.reshape(groups, outputs // groups, inputs, *kernel).transpose(1, 2)
    return swapped.reshape(groups * inputs, outputs // groups, *kernel)


def _is_packed(maps: Tensor) -> bool:
    """Say whether oneDNN's convolution is called directly: on processors, for maps with their channels last."""
    is_last = maps.device.type == "cpu" and maps.is_contiguous(memory_format=torch.channels_last)
    return is_last and maps.dtype in onednn_formats()


def _form(maps: Tensor) -> tuple[object, ...]:
    """Return everything about maps that decides in which form the weights for them are prepared."""
    return maps.dtype, maps.shape, order_of(maps), _is_packed(maps)


def _packed(weight: Tensor, geometry: Geometry, maps: Tensor) -> Tensor:
    """Return weights in the order in which the library reads them for maps of this shape."""
    weight = weight.contiguous(memory_format=order_of(maps))
    if not _is_packed(maps):
        return weight
    packed: Tensor = torch.ops.mkldnn._reorder_convolution_weight(
        weight, geometry.padding, geometry.stride, geometry.dilation, geometry.groups, list(maps.shape)
    )
    return packed


def convolved(
    maps: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry, activation: Activation | None
) -> Tensor:
    """Return the convolution of maps with weights from `_packed`, and what `activation` makes of it."""
    where = (geometry.stride, geometry.padding, geometry.dilation, geometry.groups)
    result: Tensor
    if not _is_packed(maps):
        result = torch.conv2d(maps, weight, bias, *where)
    else:
        stride, padding, dilation, groups = where
        inside = activation if activation is not None and activation.keeps_nan else Activation("none")
        result = torch.ops.mkldnn._convolution_pointwise(
            maps, weight, bias, padding, stride, dilation, groups, inside.name, list(inside.numbers), inside.variant
        )
        if inside is activation:
            return result
    return result if activation is None else activate(result, activation)


def geometry_of(call: ConvolutionCall) -> Geometry | None:
    """Return where a convolution's kernels touch its input; None for padding that is not the same on both sides."""
    stride, dilation = _pair(call.stride), _pair(call.dilation)
    if call.padding == "valid":
        return Geometry(stride, (0, 0), dilation, call.groups)
    if isinstance(call.padding, str):
        whole = [step * (size - 1) for step, size in zip(dilation, call.weight.shape[2:], strict=True)]
        if any(pixels % 2 for pixels in whole):
            return None
        return Geometry(stride, (whole[0] // 2, whole[1] // 2), dilation, call.groups)
    return Geometry(stride, _pair(call.padding), dilation, call.groups)


def _pair(value: int | tuple[int, ...]) -> Pair:
    if isinstance(value, int):
        return value, value
    return (value[0], value[0]) if len(value) == 1 else (value[0], value[1])


class Convolution(torch.autograd.Function):
    """A convolution with fixed weights and, where one follows, an activation whose gradient its output tells."""

    @staticmethod
    def forward(
        ctx: Any, images: Tensor, kernels: Kernels, activation: Activation | None, dtype: torch.dtype
    ) -> Tensor:
        """Return the convolution of `images` in the number format `dtype`."""
        output = kernels.forward(images.to(dtype), activation)
        ctx.kernels, ctx.activation, ctx.order = kernels, activation, order_of(output)
        ctx.input_shape, ctx.input_type = images.shape, images.dtype
        if activation is not None:
            ctx.save_for_backward(output)
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        """Return the gradient of the images."""
        # Pooling gives gradients in another order than the maps had, and then every pass over both is slow.
        gradient = gradient.contiguous(memory_format=ctx.order)
        if ctx.activation is not None:
            (output,) = ctx.saved_tensors
            gradient = gradient_through(gradient, output, ctx.activation)
        return ctx.kernels.backward(gradient, ctx.input_shape).to(ctx.input_type), None, None, None
