"""Finished pictures as they are stored, and as they are measured: from their 8-bit pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from network_atlas.pictures.objectives import scores
from network_atlas.pictures.target import Target
from network_atlas.pictures.transforms import resize
from network_atlas.units import Single, Sum

OPAQUE_FROM = 0.8
"""Pixels that mattered more than this share of all others are fully opaque (Fel et al. 2023)."""


def quantize(images: Tensor) -> NDArray[np.uint8]:
    """Return images on 0..1, (batch, channels, height, width), as 8-bit (batch, height, width, channels)."""
    clean = images.nan_to_num(0.5)
    pixels: NDArray[np.uint8] = (clean * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
    return pixels


def opacity_of(gradients: Tensor) -> NDArray[np.uint8]:
    """Return summed gradient sizes (batch, height, width) as 8-bit opacity, clipped at their 80th percentile."""
    flat = gradients.flatten(1)
    limit = flat.quantile(OPAQUE_FROM, dim=1).clamp(min=1e-12).view(-1, 1, 1)
    return quantize((gradients / limit).clamp(max=1)[:, None])[..., 0]


@torch.inference_mode()
def measure(target: Target, pixels: NDArray[np.uint8], units: Sequence[Single | Sum]) -> list[float]:
    """Return each stored picture's score: from its 8-bit pixels, untransformed, in float32.

    `pixels` has the shape (batch, height, width, channels).
    """
    values: list[float] = scores(target.maps(shown(target, pixels)), units).tolist()
    return values


def shown(target: Target, pixels: NDArray[np.uint8]) -> Tensor:
    """Return stored pixels (batch, height, width, channels) as the model is shown them, on 0..1."""
    stored = torch.from_numpy(np.array(pixels)).to(target.device).permute(0, 3, 1, 2).float() / 255
    return resize(stored, height=target.input.height, width=target.input.width)
