"""How a picture is represented while it is learned. A parameterization starts parameters and turns them into images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from pipeline.config.recipe import OptimizeConfig
from pipeline.optimize.parameterizations.cppn import Cppn
from pipeline.optimize.parameterizations.fourier import Fourier
from pipeline.optimize.parameterizations.pixels import LaplacianPyramid, Pixels


class Parameterization(Protocol):
    """A differentiable map from parameters to images, batch item by batch item."""

    def start(self, generators: Sequence[torch.Generator]) -> Tensor:
        """Return new parameters, one item per generator, drawn from that generator alone."""

    def image(self, parameters: Tensor) -> Tensor:
        """Return images on 0..1, shape (batch, channels, height, width)."""


PARAMETERIZATIONS: dict[str, Callable[..., Any]] = {
    "pixels": Pixels,
    "fourier": Fourier,
    "laplacian_pyramid": LaplacianPyramid,
    "cppn": Cppn,
}


def parameterization(config: OptimizeConfig, *, channels: int, device: torch.device) -> Parameterization:
    """Return the parameterization that the recipe names."""
    made: Parameterization = PARAMETERIZATIONS[config.parameterization.name](
        config.parameterization, channels=channels, height=config.height_px, width=config.width_px, device=device
    )
    return made
