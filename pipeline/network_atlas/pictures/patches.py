"""Say how likely a picture's patches are under a mixture of Gaussians (EPLL; Zoran, Weiss 2011; Wei et al. 2015).

The expected log likelihood of all patches is averaged over one grid of patches a step; the grid moves from step to
step, so that each pixel is at every place of a patch. Each picture is computed by itself.

    mixture = PatchMixture.of(state)             # as `priors.patches.fit_mixture` leaves it
    mixture.penalty(image, step=12)              # one picture, (channels, height, width)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

SIDE_PX = 8
ROW_STRIDE, COLUMN_STRIDE = 5, 3
"""Of the grid from step to step: odd numbers, so that it takes all 64 places before one returns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchMixture:
    """A mixture of Gaussians on patches without their channels' means."""

    basis: Float[Tensor, "values directions"]
    """The directions that the mixture speaks of; in the others patches have one variance."""
    rest_variance: Float[Tensor, ""]
    log_weights: Float[Tensor, " components"]
    means: Float[Tensor, "components directions"]
    whitening: Float[Tensor, "components directions directions"]
    """W of each component, such that (y - mean) W has variance one: the inverse of its Cholesky factor."""
    surprise: Float[Tensor, ""]
    """Mean of -log density over the dataset's patches, for each value of a patch."""

    @classmethod
    def of(cls, state: Mapping[str, Tensor], device: torch.device) -> PatchMixture:
        """Return the mixture that was fitted as `state`."""
        return cls(**{name: tensor.to(device) for name, tensor in state.items()})

    @property
    def channels(self) -> int:
        """Return the channels of the images that it speaks of."""
        return len(self.basis) // SIDE_PX**2

    def penalty(self, image: Float[Tensor, "channels height width"], *, step: int) -> Float[Tensor, ""]:
        """Return by how much the image's patches are less likely than the dataset's, in nats for each value.

        The gradient is that of the likeliest component of each patch, as in EPLL: in so many dimensions it has nearly
        all of the weight.
        """
        patches = grid_of(image, step)
        inside = patches @ self.basis
        outside = (patches.square().sum() - inside.square().sum()) / len(patches)
        with torch.no_grad():
            best = self._log_densities(inside).argmax(dim=1)
        likeliest = self._whitened(inside, best).square().sum(dim=1) / 2 - self._constants()[best]
        free = self.basis.shape[0] - self.basis.shape[1]
        rest = outside / (2 * self.rest_variance) + 0.5 * free * (2 * math.pi * self.rest_variance).log()
        return (likeliest.mean() + rest) / len(self.basis) - self.surprise

    def _log_densities(self, inside: Float[Tensor, "patches directions"]) -> Float[Tensor, "patches components"]:
        """Return the log density of each patch under each component, weight included."""
        count, directions = self.means.shape
        # One large product instead of a small one for each component.
        whitened = inside @ self.whitening.transpose(0, 1).reshape(directions, count * directions)
        centred = whitened.reshape(-1, count, directions) - (self.means[:, None] @ self.whitening)[:, 0]
        return self._constants() - centred.square().sum(dim=2) / 2

    def _whitened(
        self, inside: Float[Tensor, "patches directions"], component: Tensor
    ) -> Float[Tensor, "patches directions"]:
        return ((inside - self.means[component])[:, None] @ self.whitening[component])[:, 0]

    def _constants(self) -> Float[Tensor, " components"]:
        """Return what does not depend on the patch: the components' log weights and normalizations."""
        scale: Tensor = self.whitening.diagonal(dim1=1, dim2=2).log().sum(dim=1)
        return self.log_weights + scale - 0.5 * self.means.shape[1] * math.log(2 * math.pi)


def grid_of(image: Float[Tensor, "channels height width"], step: int) -> Float[Tensor, "patches values"]:
    """Return the patches of a picture that do not overlap, without their channels' means; the grid moves with `step`.

    The picture has at least 8 x 8 pixels. Values are in the order (channel, row, column).
    """
    channels, height, width = image.shape
    # Never so far that no patch is left.
    top = step * ROW_STRIDE % min(SIDE_PX, height - SIDE_PX + 1)
    left = step // SIDE_PX * COLUMN_STRIDE % min(SIDE_PX, width - SIDE_PX + 1)
    rows, columns = (height - top) // SIDE_PX, (width - left) // SIDE_PX
    part = image[:, top : top + rows * SIDE_PX, left : left + columns * SIDE_PX]
    tiles = part.reshape(channels, rows, SIDE_PX, columns, SIDE_PX).permute(1, 3, 0, 2, 4)
    centred = tiles - tiles.mean(dim=(3, 4), keepdim=True)
    return centred.reshape(rows * columns, -1)
