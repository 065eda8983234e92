"""The picture as a small network from a pixel's position to its colour: smooth, and sharp at any size.

Compositional pattern producing networks (Stanley 2007), learned by gradient as in Mordvintsev et al., "Differentiable
Image Parameterizations" (Distill 2018). Every picture has its own network.

A hidden unit x gives two outputs, atan(x) / .67 and (atan(x)^2 - .45) / .396. For x of N(0, 1) both have mean zero and
variance one, so that values keep their size through many layers. The article has atan(x)^2 / .6 instead, whose mean is
.75. With that, all squares of the last layer move the mean colour of the picture together at each step. Within a few
dozen steps it was in a corner of the colour cube, where no gradient leads back: pictures of one colour.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from network_atlas.config.recipe import CppnConfig
from network_atlas.errors import ConfigError

ODD_SPREAD, EVEN_MEAN, EVEN_SPREAD = 0.67, 0.45, 0.396
"""Of atan(x) its standard deviation, and of atan(x)^2 the mean and the standard deviation, for x of N(0, 1)."""
EXTENT = math.sqrt(3.0)
"""Positions run over -EXTENT..EXTENT along the longer side, which gives them variance one."""


class Cppn:
    """Parameters of shape (batch, values): weights and biases of all layers, one after the other."""

    def __init__(self, config: CppnConfig, *, channels: int, height: int, width: int, device: torch.device) -> None:
        self._size = (height, width)
        self._device = device
        # A hidden layer's output is twice as wide as the layer: two functions of every unit.
        widths = [2, *[config.hidden] * config.layers, channels]
        inputs = [2, *[2 * config.hidden] * config.layers]
        self._layers = list(zip(inputs, widths[1:], strict=True))
        self._positions = positions(height, width).to(device)

    def start(self, generators: Sequence[torch.Generator]) -> Float[Tensor, "batch values"]:
        """Return new networks: weights N(0, 1 / inputs), no bias, and a last layer of zeros, so that all start grey.

        The last layer learns first; the others have a gradient once it is no longer zero.
        """
        return torch.stack([self._network(generator) for generator in generators]).to(self._device)

    def _network(self, generator: torch.Generator) -> Tensor:
        parts = []
        for number, (inputs, outputs) in enumerate(self._layers):
            weights = torch.randn(inputs * outputs, generator=generator) / math.sqrt(inputs)
            last = number == len(self._layers) - 1
            parts += [torch.zeros_like(weights) if last else weights, torch.zeros(outputs)]
        return torch.cat(parts)

    def image(self, parameters: Float[Tensor, "batch values"]) -> Float[Tensor, "batch channels height width"]:
        """Return images on 0..1."""
        values = self._positions.expand(len(parameters), -1, -1)
        start = 0
        for number, (inputs, outputs) in enumerate(self._layers):
            weights = parameters[:, start : start + inputs * outputs].reshape(-1, inputs, outputs)
            start += inputs * outputs
            values = values @ weights + parameters[:, None, start : start + outputs]
            start += outputs
            if number < len(self._layers) - 1:
                bent = values.atan()
                values = torch.cat([bent / ODD_SPREAD, (bent.square() - EVEN_MEAN) / EVEN_SPREAD], dim=-1)
        images: Tensor = values.sigmoid().transpose(1, 2).reshape(len(parameters), -1, *self._size)
        return images

    def parameters_of(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch values"]:
        """Raise ConfigError: the network that draws a given image is not known."""
        raise ConfigError(
            "parameterization cppn can't start from an image; give another recipe to variants with start=example or "
            "facets: pixels, fourier, laplacian_pyramid or maco"
        )


def positions(height: int, width: int) -> Float[Tensor, "pixels 2"]:
    """Return the (row, column) of every pixel, row by row: zero is the middle, and both axes have one scale."""
    longest = max(height, width)
    rows = (torch.arange(height) - (height - 1) / 2) / longest
    columns = (torch.arange(width) - (width - 1) / 2) / longest
    return torch.cartesian_prod(rows, columns) * 2 * EXTENT
