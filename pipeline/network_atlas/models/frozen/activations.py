"""Activations, and their gradients from their outputs."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from network_atlas.models.frozen.calls import Activation

IN_PLACE: dict[str, Callable[..., Tensor]] = {
    "relu": torch.relu_,
    "hardtanh": F.hardtanh_,
    "swish": lambda maps: F.silu(maps, inplace=True),
    "hardswish": lambda maps: F.hardswish(maps, inplace=True),
}


def activate(maps: Tensor, activation: Activation) -> Tensor:
    """Return an activation of maps, which may be changed."""
    if activation.name == "gelu":
        return F.gelu(maps, approximate=activation.variant)
    return IN_PLACE[activation.name](maps, *activation.numbers)


def gradient_through(gradient: Tensor, output: Tensor, activation: Activation) -> Tensor:
    """Return the gradient of an activation's input from that of its output, by where the output is not at a bound.

    Torch gives a bound itself the gradient zero, so the output says as much as the input.
    """
    assert activation.has_gradient_of_output, activation
    result: Tensor
    if activation.name == "relu":
        result = torch.ops.aten.threshold_backward(gradient, output, 0)
    else:
        result = torch.ops.aten.hardtanh_backward(gradient, output, *activation.numbers)
    return result
