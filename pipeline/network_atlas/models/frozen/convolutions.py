"""Convolutions with fixed weights: prepared once, with what follows in one call, and a convolution backward too.

The gradient towards the input of a convolution is itself a convolution of the output's gradient, with the kernels
transposed and flipped. Libraries have fast code for convolutions forward; torch's own backward of depthwise ones in
bfloat16 is 20 to 60 times slower than forward (measured on a processor with AMX), and each call copies weights into
another order of memory. With a stride, the input's pixels fall into groups (`phases`) by their position in the stride,
and the gradient of each group is a convolution without a stride.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from network_atlas.models.frozen.activations import activate, gradient_through
from network_atlas.models.frozen.calls import RELU, Activation
from network_atlas.models.frozen.geometry import Geometry, transposed
from network_atlas.models.frozen.memory_order import order_of
from network_atlas.models.frozen.packing import convolved, convolved_and_added, form, is_packed, packed
from network_atlas.models.frozen.strides import JointPhases, Phases

FEW_CHANNELS = 4
"""Inputs with no more channels (images) get the gradient of all phases from one convolution: reading takes longest."""
LARGEST_PATCH = 2
"""Kernels that cut larger patches out of maps have so many phases that torch's own gradient takes a third of theirs."""


class Kernels:
    """The weights of one convolution with a bias, for all number formats in which it is called."""

    def __init__(self, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> None:
        self.weight = weight
        """(outputs, inputs of a group, rows, columns), float32."""
        self.bias = bias
        self.geometry = geometry
        self._wide, self._corner = geometry.wide()
        self._prepared: dict[tuple[object, ...], Any] = {}

    @cached_property
    def largest(self) -> tuple[float, float]:
        """Return by how much an output can be larger than the largest input, and what the bias can add."""
        factor = float(self.weight.abs().flatten(1).sum(dim=1).max())
        return factor, 0.0 if self.bias is None else float(self.bias.abs().max())

    def forward(self, images: Tensor, activation: Activation | None, *, is_finite: bool = False) -> Tensor:
        """Return the convolution of maps, (batch, channels, rows, columns), and what `activation` makes of it.

        `is_finite` says that no value of the convolution can be infinite or NaN.
        """
        weight, bias = self._forward_weights(images)
        if self.geometry.beyond == (0, 0):
            return convolved(images, weight, bias, self.geometry, activation, is_finite=is_finite)
        # Libraries know padding of the same size on both sides: there are more outputs, and the right ones are cut out.
        inside, activation = (activation, None) if is_finite else (None, activation)
        whole = convolved(images, weight, bias, self._wide, inside, is_finite=is_finite)
        (top, left), (height, width) = self._corner, self.weight.shape[2:]
        rows, columns = self.geometry.outputs((images.shape[2], images.shape[3]), (height, width))
        # A copy even where the cut is in order: what a caller may change in place must not be a view.
        output = whole[:, :, top : top + rows, left : left + columns].clone(memory_format=order_of(whole))
        return output if activation is None else activate(output, activation)

    def forward_added(self, images: Tensor, other: Tensor, *, is_finite: bool) -> Tensor:
        """Return ReLU of the convolution of maps in oneDNN's order plus other maps.

        `is_finite` says that no sum can be infinite or NaN.
        """
        weight, _ = self._forward_weights(images)
        bias = self._bias_in(images.dtype)
        result = convolved_and_added(images, weight, bias, other, self.geometry, rectified=is_finite)
        return result if is_finite else activate(result, RELU)

    def backward(self, gradient: Tensor, input_shape: torch.Size) -> Tensor:
        """Return the gradient of the input, of shape `input_shape`, from that of the output."""
        way = self._way_back if gradient.device.type == "cpu" else "torch"  # cuDNN's own is fast for all kernels
        if way == "stride 1":
            return self._backward_dense(gradient)
        if way == "joint":
            return self._backward_strided(JointPhases, gradient, input_shape)
        if way == "phases":
            return self._backward_strided(Phases, gradient, input_shape)
        return self._backward_torch(gradient, input_shape)

    @cached_property
    def _way_back(self) -> str:
        return _way_back(self.weight, self.geometry)

    def _forward_weights(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the weights for maps of this format; in the library's own order where it has one."""
        key = ("forward", *form(images))
        if key not in self._prepared:
            weight = packed(self.weight.to(images.dtype), self._wide, images)
            # oneDNN adds a bias before it rounds to bfloat16, so its bias need not be rounded; torch's own must be.
            bias = self.bias if is_packed(images) else self._bias_in(images.dtype)
            self._prepared[key] = weight, bias
        prepared: tuple[Tensor, Tensor | None] = self._prepared[key]
        return prepared

    def _bias_in(self, dtype: torch.dtype) -> Tensor | None:
        key = ("bias", dtype)
        if key not in self._prepared:
            self._prepared[key] = None if self.bias is None else self.bias.to(dtype)
        bias: Tensor | None = self._prepared[key]
        return bias

    def _backward_dense(self, gradient: Tensor) -> Tensor:
        geometry = self.geometry
        padding = tuple(
            dilation * (size - 1) - padding
            for padding, dilation, size in zip(geometry.padding, geometry.dilation, self.weight.shape[2:], strict=True)
        )
        back = Geometry((1, 1), (padding[0], padding[1]), geometry.dilation, geometry.groups)
        key = ("backward", *form(gradient))
        if key not in self._prepared:
            flipped = transposed(self.weight, geometry.groups).flip(2, 3)
            self._prepared[key] = packed(flipped.to(gradient.dtype), back, gradient)
        return convolved(gradient, self._prepared[key], None, back, None)

    def _backward_strided(self, kind: type[Phases] | type[JointPhases], gradient: Tensor, shape: torch.Size) -> Tensor:
        key = ("strided", *form(gradient), shape)
        if key not in self._prepared:
            self._prepared[key] = kind(self.weight, self.geometry, gradient, shape)
        phases: Phases | JointPhases = self._prepared[key]
        return phases.backward(gradient)

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


def _way_back(weight: Tensor, geometry: Geometry) -> str:
    """Return how the gradient of the input is computed on a processor."""
    kernel = weight.shape[2:]
    if any(
        padding > dilation * (size - 1)
        for padding, dilation, size in zip(geometry.padding, geometry.dilation, kernel, strict=True)
    ):
        return "torch"
    if geometry.stride == (1, 1):
        return "stride 1"
    if geometry.dilation != (1, 1) and tuple(kernel) != (1, 1):
        return "torch"
    if geometry.groups == 1 and weight.shape[1] <= FEW_CHANNELS:
        return "joint"
    if tuple(kernel) == geometry.stride and max(kernel) > LARGEST_PATCH and geometry.groups == 1:
        return "torch"
    is_depthwise = geometry.groups > 1 and weight.shape[1] == 1
    return "phases" if is_depthwise or geometry.groups == 1 or tuple(kernel) == (1, 1) else "torch"


def can_be_uneven(weight: Tensor, geometry: Geometry) -> bool:
    """Say whether the gradient is right with this geometry, which may have more zeros at the ends."""
    return geometry.beyond == (0, 0) or _way_back(weight, geometry) in ("joint", "phases")


class Convolution(torch.autograd.Function):
    """A convolution with fixed weights and, where one follows, an activation whose gradient its output tells."""

    @staticmethod
    def forward(
        ctx: Any, images: Tensor, kernels: Kernels, activation: Activation | None, dtype: torch.dtype, is_finite: bool
    ) -> Tensor:
        """Return the convolution of `images` in the number format `dtype`; see `Kernels.forward`."""
        output = kernels.forward(images.to(dtype), activation, is_finite=is_finite)
        ctx.kernels, ctx.activation, ctx.order = kernels, activation, order_of(output)
        ctx.input_shape, ctx.input_type = images.shape, images.dtype
        if activation is not None:
            ctx.save_for_backward(output)
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        """Return the gradient of the images."""
        # Pooling gives gradients in another order than the maps had, and then every pass over both is slow.
        gradient = gradient.contiguous(memory_format=ctx.order)
        if ctx.activation is not None:
            (output,) = ctx.saved_tensors
            gradient = gradient_through(gradient, output, ctx.activation)
        return ctx.kernels.backward(gradient, ctx.input_shape).to(ctx.input_type), None, None, None, None
