"""Batch normalization by fixed numbers: one multiplication and one addition for each value, and one backward.

Torch's own backward also computes the sums that training would need, which takes most of its time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from network_atlas.models.frozen.activations import activate, gradient_through
from network_atlas.models.frozen.calls import Activation, NormCall
from network_atlas.models.frozen.memory_order import order_of


@dataclass(frozen=True, slots=True, eq=False)
class Factors:
    """The fixed numbers by which maps are normalized: maps * scale + shift. Both are (channels,), float64."""

    scale: Tensor
    shift: Tensor

    @classmethod
    def of(cls, call: NormCall) -> Factors | None:
        """Return the numbers of a call; None where it normalizes by those of the batch."""
        if call.training or call.running_mean is None or call.running_var is None:
            return None
        scale = (call.running_var.double() + call.eps).rsqrt()
        if call.weight is not None:
            scale = scale * call.weight.double()
        shift = -call.running_mean.double() * scale
        return cls(scale, shift if call.bias is None else shift + call.bias.double())

    def folded(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the weights and the bias of a convolution that normalizes its own output.

        `weight` is (outputs, inputs of a group, rows, columns). Computed in float64 and rounded once.
        """
        folded = weight.double() * self.scale.view(-1, 1, 1, 1)
        shift = self.shift if bias is None else self.shift + bias.double() * self.scale
        return folded.to(weight.dtype), shift.to(weight.dtype)


class Norm:
    """One normalization, for all number formats in which it is called."""

    def __init__(self, call: NormCall, factors: Factors) -> None:
        self._call = call
        self._factors = factors
        self._scales: dict[tuple[torch.dtype, int], Tensor] = {}

    def forward(self, maps: Tensor, activation: Activation | None) -> Tensor:
        """Return the normalized maps, (batch, channels, ...), and what `activation` makes of them."""
        result = torch.nn.functional.batch_norm(maps, *self._call[1:])  # its forward pass has no waste
        return result if activation is None else activate(result, activation)

    def scale(self, gradient: Tensor) -> Tensor:
        """Return the factors by which a gradient, (batch, channels, ...), is multiplied."""
        key = gradient.dtype, gradient.ndim
        if key not in self._scales:
            self._scales[key] = self._factors.scale.to(gradient.dtype).view(1, -1, *[1] * (gradient.ndim - 2))
        return self._scales[key]


class Normalization(torch.autograd.Function):
    """A normalization by fixed numbers and, where one follows, an activation whose gradient its output tells."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, norm: Norm, activation: Activation | None) -> Tensor:
        """Return the normalized maps, (batch, channels, ...), and what `activation` makes of them."""
        output = norm.forward(maps, activation)
        ctx.norm, ctx.activation, ctx.order = norm, activation, order_of(output)
        if activation is not None:
            ctx.save_for_backward(output)
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """Return the gradient of the maps."""
        gradient = gradient.contiguous(memory_format=ctx.order)
        scale = ctx.norm.scale(gradient)
        if ctx.activation is None:
            return gradient * scale, None, None
        (output,) = ctx.saved_tensors
        return gradient_through(gradient, output, ctx.activation).mul_(scale), None, None
