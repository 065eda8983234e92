"""A small decoder from a layer's activations back to images (Dosovitskiy, Brox 2016): the generator of a dataset.

It enlarges the layer's maps by two until they are as large as the images that it learned, with convolutions between.
Codes are standardized: each channel of the layer has mean zero and variance one over the dataset.
"""

from __future__ import annotations

import math
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

NETWORK = "network."
"""Begins the names of the weights in a decoder's state."""
SLOPE = 0.2
"""Of the activations below zero, as Dosovitskiy and Brox have it."""


class Decoder(nn.Module):
    """Standardized codes (batch, layer_channels, rows, columns) to images on 0..1 (batch, channels, side, side)."""

    def __init__(self, *, code: tuple[int, int, int], channels: int, size: tuple[int, int], features: int) -> None:
        super().__init__()
        times = doublings(code[1:], size)
        # Half as many features after each doubling, which has four times the positions.
        widths = [max(features // 2**number, 8) for number in range(times + 1)]
        layers: list[nn.Module] = [nn.Conv2d(code[0], widths[0], 3, padding=1), nn.LeakyReLU(SLOPE)]
        for before, after in pairwise(widths):
            layers += [nn.Upsample(scale_factor=2), nn.Conv2d(before, after, 3, padding=1), nn.LeakyReLU(SLOPE)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], channels, 3, padding=1))

    def forward(
        self, codes: Float[Tensor, "batch layer_channels rows columns"]
    ) -> Float[Tensor, "batch channels height width"]:
        """Return the images of codes."""
        images: Tensor = self.layers(codes).sigmoid()
        return images


def doublings(code: tuple[int, ...], size: tuple[int, int]) -> int:
    """Return how often maps of (rows, columns) are doubled to come nearest to the (height, width) `size` or above."""
    times = max(math.log2(length / count) for length, count in zip(size, code, strict=True))
    return max(0, round(times))
