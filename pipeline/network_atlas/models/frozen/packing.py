"""Convolutions of the library, with weights in the order of memory in which it reads them."""

from __future__ import annotations

import torch
from torch import Tensor

from network_atlas.models.frozen.activations import activate
from network_atlas.models.frozen.calls import Activation
from network_atlas.models.frozen.geometry import Geometry
from network_atlas.models.frozen.memory_order import onednn_formats, order_of


def is_packed(maps: Tensor) -> bool:
    """Say whether oneDNN's convolution is called directly: on processors, for maps with their channels last."""
    is_last = maps.device.type == "cpu" and maps.is_contiguous(memory_format=torch.channels_last)
    return is_last and maps.dtype in onednn_formats()


def form(maps: Tensor) -> tuple[object, ...]:
    """Return everything about maps that decides in which form the weights for them are prepared."""
    return maps.dtype, maps.shape, order_of(maps), is_packed(maps)


def packed(weight: Tensor, geometry: Geometry, maps: Tensor) -> Tensor:
    """Return weights in the order in which the library reads them for maps of this shape."""
    weight = weight.contiguous(memory_format=order_of(maps))
    if not is_packed(maps):
        return weight
    packed: Tensor = torch.ops.mkldnn._reorder_convolution_weight(
        weight, geometry.padding, geometry.stride, geometry.dilation, geometry.groups, list(maps.shape)
    )
    return packed


def convolved(
    maps: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry, activation: Activation | None
) -> Tensor:
    """Return the convolution of maps with weights from `packed`, and what `activation` makes of it."""
    where = (geometry.stride, geometry.padding, geometry.dilation, geometry.groups)
    result: Tensor
    if not is_packed(maps):
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
