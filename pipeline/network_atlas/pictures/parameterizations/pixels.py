"""The picture as pixels, and as a pyramid of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from network_atlas.config.recipe import PixelsConfig, PyramidConfig
from network_atlas.pictures.colours import to_image, to_planes


class Pixels:
    """Parameters of shape (batch, channels, height, width), squashed to 0..1."""

    def __init__(self, config: PixelsConfig, *, channels: int, height: int, width: int, device: torch.device) -> None:
        self._config = config
        self._shape = (channels, height, width)
        self._device = device

    def start(self, generators: Sequence[torch.Generator]) -> Float[Tensor, "batch channels height width"]:
        """Return values drawn from N(0, std), each picture's from its own generator."""
        drawn = [torch.randn(self._shape, generator=generator) for generator in generators]
        return (torch.stack(drawn) * self._config.std).to(self._device)

    def planes(
        self, parameters: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """Return the picture before it gets its colours: the parameters themselves."""
        return parameters

    def image(
        self, parameters: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """Return images on 0..1."""
        return to_image(parameters, decorrelated=self._config.decorrelated)

    def parameters_of(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        """Return the parameters of images on 0..1."""
        return to_planes(images, decorrelated=self._config.decorrelated)


class LaplacianPyramid:
    """Parameters of shape (batch, values): all levels one after the other, the finest first.

    A coarse level reaches many pixels at once, so that large forms are learned as fast as fine ones: a preconditioner
    like Fourier's, but local. After Burt and Adelson (1983); Lucid has it as its lowres tensor.
    """

    def __init__(self, config: PyramidConfig, *, channels: int, height: int, width: int, device: torch.device) -> None:
        self._config = config
        self._size = (height, width)
        self._device = device
        sizes = [(max(1, height >> level), max(1, width >> level)) for level in range(config.levels)]
        self._shapes = [(channels, rows, columns) for rows, columns in sizes]
        counts = [channels * rows * columns for rows, columns in sizes]
        self._cuts = list(pairwise([sum(counts[:level]) for level in range(len(counts) + 1)]))

    def start(self, generators: Sequence[torch.Generator]) -> Float[Tensor, "batch values"]:
        """Return values drawn from N(0, std), each picture's from its own generator."""
        count = self._cuts[-1][1]
        drawn = [torch.randn(count, generator=generator) for generator in generators]
        return (torch.stack(drawn) * self._config.std).to(self._device)

    def planes(self, parameters: Float[Tensor, "batch values"]) -> Float[Tensor, "batch channels height width"]:
        """Return the picture before it gets its colours: the sum of all levels, each enlarged to full size."""
        levels = [
            parameters[:, start:stop].reshape(-1, *shape)
            for (start, stop), shape in zip(self._cuts, self._shapes, strict=True)
        ]
        # Each level straight to full size, as in Lucid: level by level, coarse ones would be smoothed again and again.
        return torch.stack([_enlarged(level, self._size) for level in levels]).sum(dim=0)

    def image(self, parameters: Float[Tensor, "batch values"]) -> Float[Tensor, "batch channels height width"]:
        """Return images on 0..1."""
        return to_image(self.planes(parameters), decorrelated=self._config.decorrelated)

    def parameters_of(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch values"]:
        """Return the parameters of images on 0..1: each level holds the difference that the coarser ones leave."""
        rest = to_planes(images, decorrelated=self._config.decorrelated)
        levels = []
        # From the coarsest: each level takes what the coarser ones leave of the local means, and the finest the rest.
        for _, rows, columns in reversed(self._shapes[1:]):
            level = F.interpolate(rest, size=(rows, columns), mode="area")
            rest = rest - _enlarged(level, self._size)
            levels.append(level)
        return torch.cat([level.flatten(1) for level in (rest, *reversed(levels))], dim=1)


def _enlarged(
    level: Float[Tensor, "batch channels rows columns"], size: tuple[int, int]
) -> Float[Tensor, "batch channels height width"]:
    return F.interpolate(level, size=size, mode="bilinear", align_corners=False)
