"""How a picture is represented while it is learned. A parameterization starts parameters and turns them into images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from network_atlas.config.recipe import CppnConfig, MacoConfig, OptimizeConfig
from network_atlas.errors import ConfigError
from network_atlas.pictures.parameterizations.cppn import Cppn
from network_atlas.pictures.parameterizations.fourier import Fourier
from network_atlas.pictures.parameterizations.maco import Maco
from network_atlas.pictures.parameterizations.pixels import LaplacianPyramid, Pixels
from network_atlas.pictures.parameterizations.shared import Shared


class Parameterization(Protocol):
    """A differentiable map from parameters to images, batch item by batch item."""

    def start(self, generators: Sequence[torch.Generator]) -> Tensor:
        """Return new parameters, one item per generator, drawn from that generator alone."""

    def image(self, parameters: Tensor) -> Tensor:
        """Return images on 0..1, shape (batch, channels, height, width)."""

    def parameters_of(self, images: Tensor) -> Tensor:
        """Return parameters whose images are the given ones, or come as near as can be."""


PARAMETERIZATIONS: dict[str, Callable[..., Any]] = {
    "pixels": Pixels,
    "fourier": Fourier,
    "laplacian_pyramid": LaplacianPyramid,
    "cppn": Cppn,
    "maco": Maco,
}


def parameterization(
    config: OptimizeConfig, *, channels: int, device: torch.device, magnitude: Tensor | None = None
) -> Parameterization:
    """Return the parameterization that the recipe names; `magnitude` is for those that take one."""
    given = config.parameterization
    more = {"magnitude": magnitude} if isinstance(given, MacoConfig) else {}
    made: Parameterization = PARAMETERIZATIONS[given.name](
        given, channels=channels, height=config.height_px, width=config.width_px, device=device, **more
    )
    return made


def shared(config: OptimizeConfig, *, channels: int, device: torch.device) -> Shared:
    """Return the recipe's parameterization with coarse parts that a group shares. Raises ConfigError for those without
    planes to add to.
    """
    given = config.parameterization
    if isinstance(given, CppnConfig | MacoConfig):
        raise ConfigError(
            f"parameterization {given.name} has no coarse parts to share; "
            "give interpolations a recipe with fourier, pixels or laplacian_pyramid"
        )
    own = PARAMETERIZATIONS[given.name](
        given, channels=channels, height=config.height_px, width=config.width_px, device=device
    )
    size = (config.height_px, config.width_px)
    return Shared(own, decorrelated=given.decorrelated, channels=channels, size=size)
