"""Where the kernels of a convolution touch its input."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from network_atlas.models.frozen.calls import ConvolutionCall

Pair = tuple[int, int]
"""(rows, columns)."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """Where the kernels of a convolution touch its input; (rows, columns)."""

    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int


def geometry_of(call: ConvolutionCall) -> Geometry | None:
    """Return where a convolution's kernels touch its input; None for padding that is not the same on both sides."""
    stride, dilation = _pair(call.stride), _pair(call.dilation)
    if call.padding == "valid":
        return Geometry(stride, (0, 0), dilation, call.groups)
    if isinstance(call.padding, str):
        whole = [step * (size - 1) for step, size in zip(dilation, call.weight.shape[2:], strict=True)]
        if any(pixels % 2 for pixels in whole):
            return None
        return Geometry(stride, (whole[0] // 2, whole[1] // 2), dilation, call.groups)
    return Geometry(stride, _pair(call.padding), dilation, call.groups)


def _pair(value: int | tuple[int, ...]) -> Pair:
    if isinstance(value, int):
        return value, value
    return (value[0], value[0]) if len(value) == 1 else (value[0], value[1])


def transposed(weight: Tensor, groups: int) -> Tensor:
    """Return kernels with inputs and outputs exchanged, group by group: (inputs, outputs of a group, rows, columns)."""
    outputs, inputs, *kernel = weight.shape
    swapped = weight.reshape(groups, outputs // groups, inputs, *kernel).transpose(1, 2)
    return swapped.reshape(groups * inputs, outputs // groups, *kernel)
