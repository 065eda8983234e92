"""Represent a picture while it is learned: a parameterization starts parameters and turns them into images.

To add one, write a class with the three methods of `Parameterization` and a configuration in `config.recipe`, and
register it in `PARAMETERIZATIONS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from network_atlas.config.recipe import CppnConfig, GeneratorConfig, MacoConfig, OptimizeConfig
from network_atlas.errors import ConfigError
from network_atlas.pictures.generators import Generator
from network_atlas.pictures.parameterizations.cppn import Cppn
from network_atlas.pictures.parameterizations.fourier import Fourier
from network_atlas.pictures.parameterizations.generated import Generated
from network_atlas.pictures.parameterizations.maco import Maco
from network_atlas.pictures.parameterizations.pixels import LaplacianPyramid, Pixels
from network_atlas.pictures.parameterizations.shared import Shared


class Parameterization(Protocol):
    """A differentiable map from parameters to images, each picture of a batch by itself."""

    def start(self, generators: Sequence[torch.Generator]) -> Float[Tensor, "batch ..."]:
        """Return new parameters, one picture's for each generator, drawn from that generator alone."""

    def image(self, parameters: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch channels height width"]:
        """Return images on 0..1."""

    def parameters_of(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch ..."]:
        """Return parameters whose images are `images`, or come as close as possible."""


PARAMETERIZATIONS: dict[str, Callable[..., Any]] = {
    "pixels": Pixels,
    "fourier": Fourier,
    "laplacian_pyramid": LaplacianPyramid,
    "cppn": Cppn,
    "maco": Maco,
    "generator": Generated,
}


def parameterization(
    config: OptimizeConfig,
    *,
    channels: int,
    device: torch.device,
    magnitude: Float[Tensor, "channels rows frequencies"] | None = None,
    generator: Generator | None = None,
) -> Parameterization:
    """Return the parameterization that the recipe names; `magnitude` and `generator` are for those that take one."""
    kind = config.parameterization
    more: dict[str, object] = {"magnitude": magnitude} if isinstance(kind, MacoConfig) else {}
    if isinstance(kind, GeneratorConfig):
        more = {"generator": generator}
    result: Parameterization = PARAMETERIZATIONS[kind.name](
        kind, channels=channels, height=config.height_px, width=config.width_px, device=device, **more
    )
    return result


def shared(config: OptimizeConfig, *, channels: int, device: torch.device) -> Shared:
    """Return the recipe's parameterization, with coarse parts that all pictures of a group share.

    Raises ConfigError for a parameterization without planes, to which nothing can be added.
    """
    kind = config.parameterization
    if isinstance(kind, CppnConfig | MacoConfig | GeneratorConfig):
        raise ConfigError(
            f"parameterization {kind.name} has no coarse parts to share; "
            "give interpolations a recipe with fourier, pixels or laplacian_pyramid"
        )
    separate = PARAMETERIZATIONS[kind.name](
        kind, channels=channels, height=config.height_px, width=config.width_px, device=device
    )
    size = (config.height_px, config.width_px)
    return Shared(separate, decorrelated=kind.decorrelated, channels=channels, size=size)
