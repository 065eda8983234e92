"""Finished pictures as they are stored, and as they are measured: from their 8-bit pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor

from network_atlas.pictures.objectives import scores
from network_atlas.pictures.target import Target
from network_atlas.pictures.transforms import resize
from network_atlas.units import Single, Sum

OPAQUE_FROM = 0.8
"""Pixels that mattered more than this share of all others are fully opaque (Fel et al. 2023)."""

Pixels = UInt8[NDArray[np.uint8], "batch height width channels"]


def quantize(images: Float[Tensor, "batch channels height width"]) -> Pixels:
    """Return images on 0..1 as 8-bit pixels, channels last; what is not a number becomes grey."""
    finite = images.nan_to_num(0.5)
    pixels: NDArray[np.uint8] = (finite * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
    return pixels


def opacity_of(gradients: Float[Tensor, "batch height width"]) -> UInt8[NDArray[np.uint8], "batch height width"]:
    """Return the 8-bit opacity of pictures, from the size of each pixel's gradient summed over all steps.

    Clipped at the 80th percentile, as MACO shows its pictures (Fel et al. 2023).
    """
    flat = gradients.flatten(1)
    limit = flat.quantile(OPAQUE_FROM, dim=1).clamp(min=1e-12).view(-1, 1, 1)
    return quantize((gradients / limit).clamp(max=1)[:, None])[..., 0]


@torch.inference_mode()
def measure(target: Target, pixels: Pixels, units: Sequence[Single | Sum]) -> list[float]:
    """Return each stored picture's score: from its 8-bit pixels, untransformed, in float32."""
    values: list[float] = scores(target.maps(shown(target, pixels)), units).tolist()
    return values


def shown(target: Target, pixels: Pixels) -> Float[Tensor, "batch channels rows columns"]:
    """Return stored pixels as the model is shown them: images on 0..1 at its input size."""
    stored = torch.from_numpy(np.array(pixels)).to(target.device).permute(0, 3, 1, 2).float() / 255
    return resize(stored, height=target.input.height, width=target.input.width)
