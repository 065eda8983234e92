"""Convolutions of the library, with weights in the order of memory in which it reads them."""

from __future__ import annotations

import torch
from torch import Tensor

from network_atlas.models.frozen.activations import activate
from network_atlas.models.frozen.calls import Activation
from network_atlas.models.frozen.geometry import Geometry
from network_atlas.models.frozen.memory_order import onednn_formats, order_of


def is_packed(maps: Tensor, dtype: torch.dtype | None = None) -> bool:
    """Say whether oneDNN's convolution is called directly: on processors, for maps with their channels last.

    `dtype` is the number format that the maps will have, if not their own.
    """
    is_last = maps.device.type == "cpu" and maps.is_contiguous(memory_format=torch.channels_last)
    return is_last and (dtype or maps.dtype) in onednn_formats()


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


def convolved_and_added(
    maps: Tensor, weight: Tensor, bias: Tensor | None, other: Tensor, geometry: Geometry, *, rectified: bool
) -> Tensor:
    """Return the convolution of maps for which `is_packed` holds plus other maps; at least zero where `rectified`.

    Zero also takes the place of NaN then. Weights are those of `packed`, the bias is in the format of the maps.
    """
    stride, padding, dilation, groups = (geometry.stride, geometry.padding, geometry.dilation, geometry.groups)
    behind = "relu" if rectified else None
    result: Tensor = torch.ops.mkldnn._convolution_pointwise.binary(
        maps, other, weight, bias, padding, stride, dilation, groups, "add", None, behind, [], None
    )
    return result


def convolved(
    maps: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    geometry: Geometry,
    activation: Activation | None,
    *,
    is_finite: bool = False,
) -> Tensor:
    """Return the convolution of maps with weights from `packed`, and what `activation` makes of it.

    `is_finite` says that no value of the convolution can be infinite or NaN.
    """
    where = (geometry.stride, geometry.padding, geometry.dilation, geometry.groups)
    result: Tensor
    if not is_packed(maps):
        result = torch.conv2d(maps, weight, bias, *where)
    else:
        stride, padding, dilation, groups = where
        is_safe = activation is not None and (activation.keeps_nan or (is_finite and activation.is_exact(maps.dtype)))
        inside = activation if activation is not None and is_safe else Activation("none")
        result = torch.ops.mkldnn._convolution_pointwise(
            maps, weight, bias, padding, stride, dilation, groups, inside.name, list(inside.numbers), inside.variant
        )
        if inside is activation:
            return result
    return result if activation is None else activate(result, activation)
