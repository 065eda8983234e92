"""Linear maps with fixed weights in bfloat16: rounded and ordered once, and not in each call."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from network_atlas.models.frozen.memory_order import onednn_formats


class Weights:
    """The weights of one linear map, (outputs, inputs), in bfloat16."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self.exact = weight, bias
        """As they were given; kept, so that no other tensors can take their identity."""
        self.weight = weight.to(torch.bfloat16)
        self._bias = None if bias is None else bias.to(torch.bfloat16)
        self._packed: Tensor | None = None

    def forward(self, rows: Tensor) -> Tensor:
        """Return the linear map of vectors, (..., inputs)."""
        if rows.device.type != "cpu" or torch.bfloat16 not in onednn_formats():
            return torch.nn.functional.linear(rows, self.weight, self._bias)
        if self._packed is None:
            self._packed = torch.ops.mkldnn._reorder_linear_weight(self.weight, rows.numel() // rows.shape[-1])
        result: Tensor = torch.ops.mkldnn._linear_pointwise(rows, self._packed, self._bias, "none", [], "")
        return result


class Linear(torch.autograd.Function):
    """A linear map in bfloat16."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weights: Weights) -> Tensor:
        """Return the linear map of vectors, (..., inputs)."""
        ctx.weights, ctx.dtype = weights, rows.dtype
        return weights.forward(rows.to(torch.bfloat16, memory_format=torch.contiguous_format))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Return the gradient of the vectors."""
        # As rows: with more axes, in another order in memory, torch would multiply in many small products.
        rows = gradient.reshape(-1, gradient.shape[-1]) @ ctx.weights.weight
        return rows.view(*gradient.shape[:-1], rows.shape[-1]).to(ctx.dtype), None
