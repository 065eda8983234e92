"""Linear maps with fixed weights: rounded and ordered for the library once, and not in each call."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from network_atlas.models.frozen.memory_order import onednn_formats

FORMATS = (torch.float32, torch.bfloat16)
"""Number formats in which linear maps run here; in others they are torch's own."""


class Weights:
    """The weights of one linear map, (outputs, inputs), in one number format."""

    def __init__(self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> None:
        self.exact = weight, bias
        """As they were given; kept, so that no other tensors can take their identity."""
        self.weight = weight.detach().to(dtype)
        self._bias = None if bias is None else bias.detach().to(dtype)
        self._packed: Tensor | None = None

    def forward(self, rows: Tensor) -> Tensor:
        """Return the linear map of vectors, (..., inputs)."""
        if not self._is_onednn(rows):
            return torch.nn.functional.linear(rows, self.weight, self._bias)
        if self._packed is None:
            self._packed = _packed(self.weight, rows)
        # Torch's own writes the bias to where the result will be, and the product reads it again.
        result: Tensor = torch.ops.mkldnn._linear_pointwise(rows, self._packed, self._bias, "none", [], "")
        return result

    def backward(self, gradient: Tensor) -> Tensor:
        """Return the gradient of the vectors, (vectors, inputs), from that of their maps, (vectors, outputs)."""
        return gradient @ self.weight

    def _is_onednn(self, rows: Tensor) -> bool:
        return rows.device.type == "cpu" and self.weight.dtype in onednn_formats()


def _packed(weight: Tensor, rows: Tensor) -> Tensor:
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, rows.numel() // rows.shape[-1])
    return packed


class Linear(torch.autograd.Function):
    """A linear map by fixed weights."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weights: Weights) -> Tensor:
        """Return the linear map of vectors, (..., inputs), in the number format of the weights."""
        ctx.weights, ctx.dtype = weights, rows.dtype
        return weights.forward(rows.to(weights.weight.dtype, memory_format=torch.contiguous_format))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Return the gradient of the vectors."""
        # As rows: with more axes, in another order in memory, torch would multiply in many small products.
        rows = ctx.weights.backward(gradient.reshape(-1, gradient.shape[-1]))
        return rows.view(*gradient.shape[:-1], rows.shape[-1]).to(ctx.dtype), None
