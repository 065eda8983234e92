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

    def __init__(self, factors: Factors) -> None:
        self._factors = factors
        self._prepared: dict[tuple[torch.dtype, int], tuple[Tensor, Tensor]] = {}

    def numbers(self, dtype: torch.dtype, axes: int) -> tuple[Tensor, Tensor]:
        """Return scale and shift for maps with so many axes, of which the second holds the channels."""
        if (dtype, axes) not in self._prepared:
            shape = (1, -1, *[1] * (axes - 2))
            # In bfloat16 the factors themselves stay in float32, as torch has it.
            exact = torch.float32 if dtype is torch.bfloat16 else dtype
            self._prepared[dtype, axes] = (
                self._factors.scale.to(exact).view(shape),
                self._factors.shift.to(exact).view(shape),
            )
        return self._prepared[dtype, axes]


class Normalization(torch.autograd.Function):
    """A normalization by fixed numbers and, where one follows, an activation whose gradient its output tells."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, norm: Norm, activation: Activation | None) -> Tensor:
        """Return the normalized maps, (batch, channels, ...), and what `activation` makes of them."""
        output = normalized(maps, norm, activation)
        ctx.norm, ctx.activation = norm, activation
        if activation is not None:
            ctx.save_for_backward(output)
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """Return the gradient of the maps."""
        scale, _ = ctx.norm.numbers(gradient.dtype, gradient.ndim)
        if ctx.activation is None:
            return (gradient * scale).to(gradient.dtype), None, None
        (output,) = ctx.saved_tensors
        return gradient_through(gradient, output, ctx.activation).mul_(scale), None, None


def normalized(maps: Tensor, norm: Norm, activation: Activation | None) -> Tensor:
    """Return the normalized maps, (batch, channels, ...), and what `activation` makes of them."""
    scale, shift = norm.numbers(maps.dtype, maps.ndim)
    if scale.dtype is maps.dtype:
        result = torch.addcmul(shift, maps, scale)
    else:
        result = (maps * scale).add_(shift).to(maps.dtype)
    return result if activation is None else activate(result, activation)
