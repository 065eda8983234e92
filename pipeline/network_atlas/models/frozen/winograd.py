"""Convolutions of 3 x 3 pixels in float32 by a quarter of the multiplications.

Winograd's minimal filtering F(4 x 4, 3 x 3): windows of 6 x 6 pixels and the kernels are taken to a basis in which a
window's 4 x 4 outputs are products value by value, summed over the channels. Source: A. Lavin, S. Gray, "Fast
Algorithms for Convolutional Neural Networks", CVPR 2016. Results are rounded two to five times as much as those of the
direct sum (relative differences from float64 of 2e-6), which is why bfloat16 is left to the direct one.
"""

from __future__ import annotations

import torch
from torch import Tensor

from network_atlas.models.frozen.geometry import Geometry

SIDE, WINDOW = 4, 6
"""Rows and columns of a window's outputs, and of the window."""
AT_ONE = WINDOW + 1
"""The value of the basis that goes into all outputs of a window alike."""
CHANNELS, WINDOWS = 96, 32
"""Fewest inputs, outputs and windows of a batch that pay: fewer leave the change of basis as long as the products, or
their weights, which are four times as large, are read for too few."""

_OF_PIXELS = torch.tensor(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    dtype=torch.float32,
)
_OF_OUTPUTS = torch.tensor(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]], dtype=torch.float32
)
_OF_KERNELS = (
    torch.tensor([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]], dtype=torch.float64) / 24
)
INTO, OUT_OF = torch.kron(_OF_PIXELS, _OF_PIXELS), torch.kron(_OF_OUTPUTS, _OF_OUTPUTS)
"""(36, 36) takes a window's pixels to the basis, (16, 36) takes the products to outputs."""


def pays(weight: Tensor, geometry: Geometry, maps: Tensor) -> bool:
    """Say whether kernels, (outputs, inputs of a group, 3, 3), take less time so for maps of this shape."""
    is_plain = geometry.stride == geometry.dilation == (1, 1) and geometry.groups == 1 and geometry.beyond == (0, 0)
    if not is_plain or maps.dtype is not torch.float32 or tuple(weight.shape[2:]) != (3, 3):
        return False
    rows, columns = geometry.outputs((maps.shape[2], maps.shape[3]), (3, 3))
    return min(weight.shape[:2]) >= CHANNELS and maps.shape[0] * _windows(rows) * _windows(columns) >= WINDOWS


class Products:
    """Kernels, (outputs, inputs, 3, 3), in the basis: (36, inputs, outputs). Computed in float64 and rounded once."""

    def __init__(self, weight: Tensor) -> None:
        kernels = torch.einsum("ia,koab,jb->ijok", _OF_KERNELS, weight.double(), _OF_KERNELS)
        self._kernels = kernels.flatten(0, 1).to(weight.dtype).contiguous()

    def convolved(self, maps: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
        """Return the convolution of maps, (batch, inputs, rows, columns), in channels-last order."""
        with torch.autocast("cpu", enabled=False):  # maps in float32 are to be computed in float32
            return self._convolved(maps, bias, geometry)

    def _convolved(self, maps: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
        batch, inputs, height, width = maps.shape
        (rows, columns), (top, left) = geometry.outputs((height, width), (3, 3)), geometry.padding
        down, across = _windows(rows), _windows(columns)
        padded = maps.new_zeros(batch, SIDE * down + 2, SIDE * across + 2, inputs)
        padded[:, top : top + height, left : left + width] = maps.permute(0, 2, 3, 1)
        windows = padded.unfold(1, WINDOW, SIDE).unfold(2, WINDOW, SIDE).permute(4, 5, 0, 1, 2, 3)
        pixels = INTO @ windows.reshape(WINDOW**2, -1)
        products = torch.bmm(pixels.view(WINDOW**2, -1, inputs), self._kernels)
        if bias is not None:
            products[AT_ONE] += bias
        outputs = (OUT_OF @ products.flatten(1)).view(SIDE, SIDE, batch, down, across, -1)
        whole = torch.empty((batch, outputs.shape[-1], SIDE * down, SIDE * across), memory_format=torch.channels_last)
        places = whole.permute(0, 2, 3, 1).view(batch, down, SIDE, across, SIDE, -1)
        places.copy_(outputs.permute(2, 3, 0, 4, 1, 5))
        if (rows, columns) == (SIDE * down, SIDE * across):
            return whole
        return whole[:, :, :rows, :columns].clone(memory_format=torch.channels_last)


def _windows(outputs: int) -> int:
    return -(-outputs // SIDE)
