"""The picture as what a generator makes of a code: only the code is learned (Nguyen et al. 2016).

Codes are learned in standard deviations from their mean over real images. After each step they move back towards the
mean by a factor, and stay within a few deviations of it. (Nguyen et al. decay towards zero, and cut off what is below:
their codes are values behind a ReLU, whose zeros are the rest.)
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from network_atlas.config.recipe import GeneratorConfig
from network_atlas.errors import ConfigError
from network_atlas.pictures.generators import Generator
from network_atlas.pictures.transforms import resize

START = 0.1
"""Standard deviation of a code's values at the start, in deviations of real images' codes: near the mean."""


class Generated:
    """Parameters of the shape (batch, *code): codes in standard deviations from their mean."""

    def __init__(
        self,
        config: GeneratorConfig,
        *,
        channels: int,
        height: int,
        width: int,
        device: torch.device,
        generator: Generator,
    ) -> None:
        self._config = config
        self._size = (height, width)
        self._device = device
        self._shape = generator.shape
        self._network = generator.network.to(device)
        self._mean, self._deviation = generator.mean.to(device), generator.deviation.to(device)

    def start(self, generators: Sequence[torch.Generator]) -> Float[Tensor, "batch ..."]:
        """Return codes near the mean, each picture's from its own generator."""
        drawn = [torch.randn(self._shape, generator=generator) for generator in generators]
        return (torch.stack(drawn) * START).to(self._device)

    def image(self, parameters: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch channels height width"]:
        """Return images on 0..1. Each is made by itself: in a batch, its numbers would depend on the batch's size."""
        codes = self._mean + self._deviation * parameters
        images = torch.cat([self._network(code[None]).float() for code in codes.unbind()])
        return resize(images, height=self._size[0], width=self._size[1]).clamp(0, 1)

    def kept(self, parameters: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        """Return codes after a step: nearer to the mean, and within the limit around it."""
        return (parameters * self._config.decay).clamp(-self._config.limit, self._config.limit)

    def parameters_of(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch ..."]:
        """Raise ConfigError: the code of a given image is not known."""
        raise ConfigError(
            "parameterization generator can't start from an image; give another recipe to variants with start=example "
            "or facets: pixels, fourier, laplacian_pyramid or maco"
        )
