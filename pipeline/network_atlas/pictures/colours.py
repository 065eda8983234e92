"""From learned planes to colours: decorrelated, then squashed to 0..1.

In natural images the three colours rise and fall together; learning them apart from each other is a preconditioner
(Olah, Mordvintsev, Schubert 2017). The matrix is Lucid's, measured on ImageNet. The frequency magnitude of images is
taken in the same colours.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

COLOUR_CORRELATION = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))
"""Square root of the colour covariance of ImageNet; used divided by its largest column norm."""
MARGIN = 1 / 510
"""Half a step of 8 bits: black and white have no finite logit."""


def colour_matrix() -> Float[Tensor, "3 3"]:
    """Return the (RGB, decorrelated) matrix that gives decorrelated planes the colours of natural images."""
    matrix = torch.tensor(COLOUR_CORRELATION)
    largest: Tensor = matrix.norm(dim=0).max()
    return matrix / largest


def to_image(
    planes: Float[Tensor, "batch channels height width"], *, decorrelated: bool
) -> Float[Tensor, "batch channels height width"]:
    """Return images on 0..1 from planes; zero is grey (0.5).

    Only three channels are taken for colours; any other number is squashed as it is.
    """
    if decorrelated and planes.shape[1] == 3:
        planes = torch.einsum("rc,bchw->brhw", colour_matrix().to(planes.device), planes)
    images: Tensor = planes.sigmoid()
    return images


def to_planes(
    images: Float[Tensor, "batch channels height width"], *, decorrelated: bool
) -> Float[Tensor, "batch channels height width"]:
    """Return the planes of images on 0..1: the inverse of `to_image`, for values at least `MARGIN` from 0 and 1."""
    planes = images.clamp(MARGIN, 1 - MARGIN).logit()
    return decorrelate(planes) if decorrelated and images.shape[1] == 3 else planes


def decorrelate(planes: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 height width"]:
    """Return RGB planes in decorrelated colours."""
    return torch.einsum("cr,brhw->bchw", colour_matrix().inverse().to(planes.device), planes)
