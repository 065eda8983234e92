"""Penalties on a picture: functions from images on 0..1, (batch, channels, height, width), to penalties, (batch,).

They are means over pixels and channels, so that a weight means the same for a picture of any size. The loop multiplies
them by the size of the picture's score, so that a weight means the same for any channel: it is the share of the score
that a penalty of 1 costs. Lucid's penalties are sums, beside the bare score. Register a new one in `REGULARIZERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from network_atlas.config.recipe import Regularizer

GREY = 0.5
BORDER_SHARE = 0.1
"""Width of the penalized border, as a share of the shorter side."""
BILATERAL_RADIUS_PX = 2
BILATERAL_RANGE = 0.1
"""Neighbours that differ by much more than this count little."""

Images = Float[Tensor, "batch channels height width"]
Penalties = Float[Tensor, " batch"]
Penalty = Callable[[Images], Penalties]


def l1(images: Images) -> Penalties:
    """Return the mean absolute distance from grey."""
    return (images - GREY).abs().flatten(1).mean(dim=1)


def l2(images: Images) -> Penalties:
    """Return half the mean squared distance from grey (Simonyan et al. 2013)."""
    return 0.5 * (images - GREY).square().flatten(1).mean(dim=1)


def total_variation(images: Images) -> Penalties:
    """Return the mean absolute difference between neighbours, down plus along (Mahendran, Vedaldi 2014)."""
    down = images.diff(dim=2).abs().flatten(1).mean(dim=1)
    along = images.diff(dim=3).abs().flatten(1).mean(dim=1)
    return down + along


def blur(images: Images) -> Penalties:
    """Return half the mean squared distance from the blurred picture: a blur at every step (Nguyen et al. 2014)."""
    # Detached: the gradient then points to the blurred picture, and is the difference itself.
    return 0.5 * (images - blurred(images).detach()).square().flatten(1).mean(dim=1)


def bilateral(images: Images) -> Penalties:
    """Return half the mean squared distance from the bilaterally filtered picture, which keeps edges (Tyka 2016)."""
    return 0.5 * (images - bilaterally_filtered(images).detach()).square().flatten(1).mean(dim=1)


def border(images: Images) -> Penalties:
    """Return the mean squared distance from grey of the pixels along the border, so that forms move inward."""
    height, width = images.shape[-2:]
    margin = max(1, round(BORDER_SHARE * min(height, width)))
    inside = torch.zeros(height, width, device=images.device)
    inside[margin : height - margin, margin : width - margin] = 1.0
    at_border = ((1 - inside) * (images - GREY).square()).flatten(1).sum(dim=1)
    return at_border / (images.shape[1] * (1 - inside).sum()).clamp(min=1)


REGULARIZERS: dict[str, Penalty] = {
    "l1": l1,
    "l2": l2,
    "total_variation": total_variation,
    "blur": blur,
    "bilateral": bilateral,
    "border": border,
}


def penalty(images: Images, regularizers: Sequence[Regularizer]) -> Penalties:
    """Return the weighted sum of the penalties in the table; others (`config.recipe.LEARNED`) read more than images."""
    total = torch.zeros(len(images), device=images.device)
    for regularizer in (each for each in regularizers if each.name in REGULARIZERS):
        total = total + regularizer.weight * REGULARIZERS[regularizer.name](images)
    return total


def blurred(images: Images) -> Images:
    """Return images blurred by [1 2 1] / 4 along both axes, edges repeated."""
    kernel = torch.tensor([0.25, 0.5, 0.25], device=images.device)
    channels = images.shape[1]
    padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
    down = F.conv2d(padded, kernel.view(1, 1, 3, 1).expand(channels, 1, 3, 1), groups=channels)
    return F.conv2d(down, kernel.view(1, 1, 1, 3).expand(channels, 1, 1, 3), groups=channels)


def bilaterally_filtered(images: Images) -> Images:
    """Return images averaged over near neighbours of similar colour."""
    radius = BILATERAL_RADIUS_PX
    padded = F.pad(images, (radius,) * 4, mode="replicate")
    height, width = images.shape[-2:]
    total, weights = torch.zeros_like(images), torch.zeros_like(images[:, :1])
    for row in range(2 * radius + 1):
        for column in range(2 * radius + 1):
            neighbour = padded[:, :, row : row + height, column : column + width]
            distance = (row - radius) ** 2 + (column - radius) ** 2
            contrast = (neighbour - images).square().mean(dim=1, keepdim=True) / (2 * BILATERAL_RANGE**2)
            weight = torch.exp(-distance / (2 * radius**2) - contrast)
            total, weights = total + weight * neighbour, weights + weight
    return total / weights
