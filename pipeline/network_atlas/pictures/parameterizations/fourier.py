"""The picture as Fourier coefficients, scaled so that all frequencies start with equal energy, in decorrelated colours.

Gradient ascent in this space is preconditioned: it follows the statistics of natural images and so makes less
high-frequency noise (Olah, Mordvintsev, Schubert 2017, "Preconditioning and Parameterization"). The numbers are
Lucid's.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
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

    def start(self, generators: Sequence[torch.Generator]) -> Tensor:
        """Return coefficients drawn from N(0, std), each item from its own generator."""
        height, width = self._size
        shape = (self._channels, height, width // 2 + 1, 2)
        drawn = [torch.randn(shape, generator=generator) for generator in generators]
        return (torch.stack(drawn) * self._config.std).to(self._device)

    def planes(self, parameters: Tensor) -> Tensor:
        """Return the picture before its colours."""
        coefficients = torch.view_as_complex(parameters) * self._scale
        planes: Tensor = torch.fft.irfft2(coefficients, s=self._size, norm="ortho") / CONTRAST
        return planes

    def image(self, parameters: Tensor) -> Tensor:
        """Return images on 0..1; grey (0.5) where the coefficients are zero."""
        return to_image(self.planes(parameters), decorrelated=self._config.decorrelated)

    def parameters_of(self, images: Tensor) -> Tensor:
        """Return the coefficients of given images."""
        planes = to_planes(images, decorrelated=self._config.decorrelated)
        coefficients = torch.fft.rfft2(planes * CONTRAST, norm="ortho") / self._scale
        return torch.view_as_real(coefficients)


def frequency_scale(height: int, width: int, decay: float) -> Tensor:
    """Return 1 / max(frequency, 1 / longest side) ** decay, shape (height, width // 2 + 1)."""
    rows = torch.fft.fftfreq(height)[:, None]
    columns = torch.fft.rfftfreq(width)[None, :]
    frequency = (rows**2 + columns**2).sqrt()
    scale: Tensor = 1.0 / frequency.clamp(min=1.0 / max(height, width)) ** decay
    return scale
