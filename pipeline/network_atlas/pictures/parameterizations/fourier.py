"""The picture as Fourier coefficients, scaled so that all frequencies start with equal energy, in decorrelated colours.

Gradient ascent in this space is preconditioned: it follows the statistics of natural images and so makes less
high-frequency noise (Olah, Mordvintsev, Schubert 2017, "Preconditioning and Parameterization"). The numbers are
Lucid's.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from network_atlas.config.recipe import FourierConfig
from network_atlas.pictures.colours import to_image, to_planes

CONTRAST = 4.0
"""Lucid divides the picture by this before the sigmoid, so that it starts nearly grey."""


class Fourier:
    """Parameters of shape (batch, channels, height, width // 2 + 1, 2): real and imaginary parts."""

    def __init__(self, config: FourierConfig, *, channels: int, height: int, width: int, device: torch.device) -> None:
        self._config = config
        self._size = (height, width)
        self._channels = channels
        self._device = device
        self._scale = frequency_scale(height, width, config.decay).to(device)

    def start(self, generators: Sequence[torch.Generator]) -> Float[Tensor, "batch channels height frequencies 2"]:
        """Return coefficients drawn from N(0, std), each picture's from its own generator."""
        height, width = self._size
        shape = (self._channels, height, width // 2 + 1, 2)
        drawn = [torch.randn(shape, generator=generator) for generator in generators]
        return (torch.stack(drawn) * self._config.std).to(self._device)

    def planes(
        self, parameters: Float[Tensor, "batch channels height frequencies 2"]
    ) -> Float[Tensor, "batch channels height width"]:
        """Return the picture before it gets its colours."""
        coefficients = torch.view_as_complex(parameters) * self._scale
        # Lucid scales by sqrt(height * width), and its inverse divides by height * width: `ortho` does both.
        # `s` is needed for an odd width, which the number of coefficients does not tell from the even one below it.
        planes: Tensor = torch.fft.irfft2(coefficients, s=self._size, norm="ortho") / CONTRAST
        return planes

    def image(
        self, parameters: Float[Tensor, "batch channels height frequencies 2"]
    ) -> Float[Tensor, "batch channels height width"]:
        """Return images on 0..1; grey (0.5) where the coefficients are zero."""
        return to_image(self.planes(parameters), decorrelated=self._config.decorrelated)

    def parameters_of(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height frequencies 2"]:
        """Return the coefficients of images on 0..1."""
        planes = to_planes(images, decorrelated=self._config.decorrelated)
        coefficients = torch.fft.rfft2(planes * CONTRAST, norm="ortho") / self._scale
        return torch.view_as_real(coefficients)


def frequency_scale(height: int, width: int, decay: float) -> Float[Tensor, "height frequencies"]:
    """Return 1 / max(frequency, 1 / longest side) ** decay, for each of the `width // 2 + 1` frequencies of a row.

    The limit keeps the mean, whose frequency is zero, finite.
    """
    # Cycles per pixel, so that a decay means the same for a picture of any size.
    rows = torch.fft.fftfreq(height)[:, None]
    columns = torch.fft.rfftfreq(width)[None, :]
    frequency = (rows**2 + columns**2).sqrt()
    scale: Tensor = 1.0 / frequency.clamp(min=1.0 / max(height, width)) ** decay
    return scale
