"""Pictures that share their coarse parts, for interpolations: what neighbours have in common is learned once.

Olah et al. (2017, "The space of neuron objectives"): a picture is its own planes plus planes at 1/2, 1/4, 1/8 and 1/16
of its size that all pictures of the row share. Every picture holds a copy of the shared planes. The copies start equal
and follow the mean of all gradients, so they stay equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from network_atlas.config.recipe import PyramidConfig
from network_atlas.pictures.colours import to_image
from network_atlas.pictures.parameterizations.pixels import LaplacianPyramid

LEVELS = 5
"""Full size and four halvings; the full-size level of the shared planes stays out."""


class Planar(Protocol):
    """A parameterization that makes planes, then colours of them: planes can be added up."""

    def start(self, generators: Sequence[torch.Generator]) -> Float[Tensor, "batch ..."]: ...

    def planes(self, parameters: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch channels height width"]: ...

    def parameters_of(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch ..."]: ...


class Shared:
    """Parameters of shape (batch, values): the picture's own, flattened, then its copy of the shared planes."""

    def __init__(self, separate: Planar, *, decorrelated: bool, channels: int, size: tuple[int, int]) -> None:
        self._separate = separate
        self._decorrelated = decorrelated
        config = PyramidConfig(name="laplacian_pyramid", levels=LEVELS, std=1.0, decorrelated=decorrelated)
        shapes = [max(1, size[0] >> level) * max(1, size[1] >> level) * channels for level in range(LEVELS)]
        self._fine, self._coarse = shapes[0], sum(shapes[1:])
        # Only its `planes` are used, which run where the parameters are, so the device given here is never used.
        self._pyramid = LaplacianPyramid(
            config, channels=channels, height=size[0], width=size[1], device=torch.device("cpu")
        )
        self._shape: torch.Size | None = None

    def start(self, generators: Sequence[torch.Generator]) -> Float[Tensor, "batch values"]:
        """Return the pictures' own starts; the shared planes start at zero."""
        separate = self._separate.start(generators)
        self._shape = separate.shape[1:]
        return self._with_shared(separate)

    def image(self, parameters: Float[Tensor, "batch values"]) -> Float[Tensor, "batch channels height width"]:
        """Return images on 0..1."""
        assert self._shape is not None, "parameters are started before they are turned into images"
        # A copy without gaps: rows cut out of a longer one may begin at an odd number, which `view_as_complex` refuses.
        separate = parameters[:, : -self._coarse].contiguous().reshape(-1, *self._shape)
        no_fine = parameters.new_zeros(len(parameters), self._fine)
        coarse = self._pyramid.planes(torch.cat([no_fine, parameters[:, -self._coarse :]], dim=1))
        return to_image(self._separate.planes(separate) + coarse, decorrelated=self._decorrelated)

    def parameters_of(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch values"]:
        """Return the parameters of images on 0..1; nothing is shared yet."""
        separate = self._separate.parameters_of(images)
        self._shape = separate.shape[1:]
        return self._with_shared(separate)

    def tied(
        self, gradient: Float[Tensor, "batch values"], groups: Sequence[Sequence[int]]
    ) -> Float[Tensor, "batch values"]:
        """Return a gradient whose shared part is the mean over each group; `groups` are row numbers of the batch."""
        tied = gradient.clone()
        for group in groups:
            tied[list(group), -self._coarse :] = gradient[list(group), -self._coarse :].mean(dim=0)
        return tied

    def _with_shared(self, separate: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch values"]:
        return torch.cat([separate.flatten(1), separate.new_zeros(len(separate), self._coarse)], dim=1)
