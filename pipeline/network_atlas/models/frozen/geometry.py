"""Where the kernels of a convolution touch its input."""

from __future__ import annotations

from dataclasses import dataclass, replace

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
    beyond: Pair = (0, 0)
    """Zeros at the bottom and at the right, more than at the top and at the left."""

    def padded(self, pad: tuple[int, ...]) -> Geometry | None:
        """Return the geometry with more zeros around: (left, right, top, bottom). None with fewer at the ends."""
        left, right, top, bottom = pad
        beyond = self.beyond[0] + bottom - top, self.beyond[1] + right - left
        if min(beyond) < 0:
            return None
        return replace(self, padding=(self.padding[0] + top, self.padding[1] + left), beyond=beyond)

    def wide(self) -> tuple[Geometry, Pair]:
        """Return a geometry that is the same on both sides, and which of its outputs is the first of this one's."""
        steps = -(-self.beyond[0] // self.stride[0]), -(-self.beyond[1] // self.stride[1])
        rows, columns = (
            padding + stride * step for padding, stride, step in zip(self.padding, self.stride, steps, strict=True)
        )
        return replace(self, padding=(rows, columns), beyond=(0, 0)), steps

    def outputs(self, size: Pair, kernel: Pair) -> Pair:
        """Return the rows and columns of the output for maps of this size."""
        rows, columns = (
            (pixels + 2 * self.padding[axis] + self.beyond[axis] - self.dilation[axis] * (kernel[axis] - 1) - 1)
            // self.stride[axis]
            + 1
            for axis, pixels in enumerate(size)
        )
        return rows, columns


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
