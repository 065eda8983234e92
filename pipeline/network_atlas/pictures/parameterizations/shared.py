"""Pictures that share their coarse parts, for interpolations: what neighbours have in common is learned once.

Olah et al. (2017, "The space of neuron objectives"): a picture is its own planes plus planes at 1/2, 1/4, 1/8 and 1/16
of its size that all pictures of the row share. Every picture holds a copy of the shared planes; they start equal and
follow the mean of all gradients, so they stay equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from network_atlas.config.recipe import PyramidConfig
from network_atlas.pictures.colours import to_image
from network_atlas.pictures.parameterizations.pixels import LaplacianPyramid

LEVELS = 5
"""Full size and four halvings; the full-size level of the shared planes stays out."""


class Planar(Protocol):
    """A parameterization that adds up planes before it makes colours of them."""

    def start(self, generators: Sequence[torch.Generator]) -> Tensor: ...

    def planes(self, parameters: Tensor) -> Tensor: ...

    def parameters_of(self, images: Tensor) -> Tensor: ...


class Shared:
    """Parameters of shape (batch, values): the picture's own, flattened, then its copy of the shared planes."""

    def __init__(self, own: Planar, *, decorrelated: bool, channels: int, size: tuple[int, int]) -> None:
        self._own = own
        self._decorrelated = decorrelated
        config = PyramidConfig(name="laplacian_pyramid", levels=LEVELS, std=1.0, decorrelated=decorrelated)
        shapes = [max(1, size[0] >> level) * max(1, size[1] >> level) * channels for level in range(LEVELS)]
        self._fine, self._coarse = shapes[0], sum(shapes[1:])
        self._pyramid = LaplacianPyramid(
            config, channels=channels, height=size[0], width=size[1], device=torch.device("cpu")
        )
        self._shape: torch.Size | None = None

    def start(self, generators: Sequence[torch.Generator]) -> Tensor:
        """Return the pictures' own starts; the shared planes start at zero."""
        own = self._own.start(generators)
        self._shape = own.shape[1:]
        return self._with_shared(own)

    def image(self, parameters: Tensor) -> Tensor:
        """Return images on 0..1."""
        assert self._shape is not None
        own = parameters[:, : -self._coarse].contiguous().reshape(-1, *self._shape)
        none = parameters.new_zeros(len(parameters), self._fine)
        coarse = self._pyramid.planes(torch.cat([none, parameters[:, -self._coarse :]], dim=1))
        return to_image(self._own.planes(own) + coarse, decorrelated=self._decorrelated)

    def parameters_of(self, images: Tensor) -> Tensor:
        """Return parameters of given images, nothing shared."""
        own = self._own.parameters_of(images)
        self._shape = own.shape[1:]
        return self._with_shared(own)

    def tied(self, gradient: Tensor, members: Sequence[Sequence[int]]) -> Tensor:
        """Return a gradient whose shared part is the mean over each group, given the groups' places in the batch."""
        tied = gradient.clone()
        for group in members:
            tied[list(group), -self._coarse :] = gradient[list(group), -self._coarse :].mean(dim=0)
        return tied

    def _with_shared(self, own: Tensor) -> Tensor:
        return torch.cat([own.flatten(1), own.new_zeros(len(own), self._coarse)], dim=1)
