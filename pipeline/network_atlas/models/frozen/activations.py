"""Activations, and their gradients from their outputs."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from network_atlas.models.frozen.calls import RELU, Activation
from network_atlas.models.frozen.memory_order import bits_of, is_dense

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


def gradient_through_relu(one: Tensor, other: Tensor, output: Tensor) -> Tensor:
    """Return what `gradient_through` makes of the sum of two gradients by ReLU.

    In bfloat16 on one thread, and in the same order of memory, that is one pass over all three in place of two.
    """
    is_one_pass = (
        output.dtype is torch.bfloat16
        and output.device.type == "cpu"
        and torch.get_num_threads() == 1
        and is_dense(output)
        and one.stride() == other.stride() == output.stride()
    )
    if not is_one_pass:
        return gradient_through(one + other, output, RELU)
    from network_atlas.models.frozen.loops import add_where_positive  # Numba is loaded where a network has such sums

    result = torch.empty_like(output)
    add_where_positive(bits_of(one), bits_of(other), bits_of(output), bits_of(result))
    return result


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
