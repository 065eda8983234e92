"""From learned planes to colours: decorrelated, then squashed to 0..1.

In natural images the three colours rise and fall together; learning them apart from each other is a preconditioner
(Olah, Mordvintsev, Schubert 2017). The matrix is Lucid's, measured on ImageNet. The mean frequency magnitude of images
is taken in the same colours.
"""

from __future__ import annotations

import torch
from torch import Tensor

COLOUR_CORRELATION = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))
"""Square root of the colour covariance of ImageNet; used divided by its largest column norm."""
MARGIN = 1 / 510
"""Half a grey level: black and white have no finite logit."""


def colour_matrix() -> Tensor:
    """Return the (RGB, decorrelated) matrix that gives decorrelated planes the colours of natural images."""
    matrix = torch.tensor(COLOUR_CORRELATION)
    largest: Tensor = matrix.norm(dim=0).max()
    return matrix / largest


def to_image(planes: Tensor, *, decorrelated: bool) -> Tensor:
    """Return images on 0..1 from planes (batch, channels, height, width); zero is grey (0.5).

    Only three channels are colours; any other number is squashed as it is.
    """
    if decorrelated and planes.shape[1] == 3:
        planes = torch.einsum("rc,bchw->brhw", colour_matrix().to(planes.device), planes)
    images: Tensor = planes.sigmoid()
    return images


def to_planes(images: Tensor, *, decorrelated: bool) -> Tensor:
    """Return the planes of images on 0..1: the inverse of `to_image`, for values at least `MARGIN` from 0 and 1."""
    planes = images.clamp(MARGIN, 1 - MARGIN).logit()
    return decorrelate(planes) if decorrelated and images.shape[1] == 3 else planes


def decorrelate(planes: Tensor) -> Tensor:
    """Return RGB planes (batch, 3, height, width) in decorrelated colours."""
    return torch.einsum("cr,brhw->bchw", colour_matrix().inverse().to(planes.device), planes)


def magnitude_of(images: Tensor) -> Tensor:
    """Return each image's own magnitude, (batch, channels, height, width // 2 + 1), as the scan averages it."""
    planes = images - 0.5
    coefficients: Tensor = torch.fft.rfft2(decorrelate(planes) if images.shape[1] == 3 else planes, norm="ortho")
    return coefficients.abs()
