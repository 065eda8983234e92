"""How a picture is represented while it is learned. A parameterization starts parameters and turns them into images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from pipeline.config.schema import OptimizeConfig
from pipeline.optimize.parameterizations.fourier import Fourier


class Parameterization(Protocol):
    """A differentiable map from parameters to images, batch item by batch item."""

    def start(self, generators: Sequence[torch.Generator]) -> Tensor:
        """Return new parameters, one item per generator, drawn from that generator alone."""

    def image(self, parameters: Tensor) -> Tensor:
        """Return images on 0..1, shape (batch, channels, height, width)."""


def parameterization(config: OptimizeConfig, *, channels: int, device: torch.device) -> Parameterization:
    """Return the parameterization that the recipe names."""
    return Fourier(
        config.parameterization,
        channels=channels,
        height=config.height_px,
        width=config.width_px,
        device=device,
    )
