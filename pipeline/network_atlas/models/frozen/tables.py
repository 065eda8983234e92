"""Activations in bfloat16 by tables: there are 65,536 numbers in that format, so all values are computed once.

Each value is then the rounding of the exact one, and each gradient that of the gradient times the exact slope, whatever
stands beside it. Torch's tanh takes four times as long, its erf and exp up to twice, about as long on a busy machine.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from network_atlas.models.frozen.calls import Activation
from network_atlas.models.frozen.memory_order import bits_of, is_dense, order_of

TABLED = ("gelu", "swish")
"""Activations that are slower by their formulas; see `Activation.name`."""


def has_table(maps: Tensor, activation: Activation, *, in_place: bool) -> bool:
    """Say whether `tabled` computes an activation of maps of any shape.

    Not with several threads of torch, whose own loops share the work then; nor in place where no gradient is wanted.
    """
    return (
        activation.name in TABLED
        and maps.dtype is torch.bfloat16
        and maps.device.type == "cpu"
        and is_dense(maps)
        and (_wants_gradient(maps) or not in_place)
        and torch.get_num_threads() == 1
    )


def tabled(maps: Tensor, activation: Activation, *, in_place: bool) -> Tensor:
    """Return an activation of maps; `in_place` changes them and returns themselves. See `has_table`."""
    if not _wants_gradient(maps):
        return _look_up(maps, activation, torch.empty_like(maps))
    result: Tensor = Tabled.apply(maps, activation, in_place)
    return result


class Tabled(torch.autograd.Function):
    """An activation in bfloat16."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, activation: Activation, in_place: bool) -> Tensor:
        """Return the activation of maps, or the maps themselves, changed in place."""
        values = maps.clone() if in_place else maps
        ctx.save_for_backward(values)
        ctx.activation, ctx.order = activation, order_of(values)
        if in_place:
            ctx.mark_dirty(maps)
        return _look_up(values, activation, maps if in_place else torch.empty_like(maps))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """Return the gradient of the maps."""
        from network_atlas.models.frozen.loops import scale_by

        (values,) = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=ctx.order)
        result = torch.empty_like(values)
        scale_by(bits_of(gradient), bits_of(values), _slopes(ctx.activation), bits_of(result))
        return result, None, None


def _wants_gradient(maps: Tensor) -> bool:
    return maps.requires_grad and torch.is_grad_enabled()


def _look_up(maps: Tensor, activation: Activation, into: Tensor) -> Tensor:
    from network_atlas.models.frozen.loops import look_up  # Numba is loaded where a network has such an activation

    look_up(bits_of(maps), _values(activation), bits_of(into))
    return into


def _exactly(numbers: Tensor, activation: Activation) -> Tensor:
    return F.gelu(numbers, approximate=activation.variant) if activation.name == "gelu" else F.silu(numbers)


def _numbers() -> Tensor:
    """Return all numbers of bfloat16 in the order of their bits, in float64."""
    return torch.from_numpy(np.arange(1 << 16, dtype=np.uint16)).view(torch.bfloat16).double()


@cache
def _values(activation: Activation) -> NDArray[Any]:
    with torch.inference_mode(False), torch.no_grad():
        return bits_of(_exactly(_numbers(), activation).bfloat16())


@cache
def _slopes(activation: Activation) -> NDArray[Any]:
    with torch.inference_mode(False), torch.enable_grad():
        numbers = _numbers().requires_grad_()
        (slopes,) = torch.autograd.grad(_exactly(numbers, activation).sum(), numbers)
        # Of all bits that mean NaN those of torch.nan, whose low half is zero, as `scale_by` needs it.
        result: NDArray[Any] = torch.where(slopes.isnan(), torch.nan, slopes).float().numpy()
        return result
