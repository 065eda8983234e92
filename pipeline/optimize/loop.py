"""The optimization loop: a batch of pictures of one layer, each with its own score, optimizer state and random numbers.

Nothing couples the pictures of a batch: the loss is the sum of their scores, Adam works element by element, each
item's start and warps come from its own generator. A picture made alone and in a batch of 32 agree up to rounding.
The forward pass stops behind the target layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.config.recipe import OptimizeConfig
from pipeline.config.schema import InputConfig
from pipeline.models.load import normalize
from pipeline.models.trace import capture
from pipeline.optimize.ascent import ascent, conditioned
from pipeline.optimize.objectives import scores
from pipeline.optimize.parameterizations import parameterization
from pipeline.optimize.regularizers import penalty
from pipeline.optimize.transforms import draw_warps, resize, warp
from pipeline.plan.tasks import Picture
from pipeline.units import LayerSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The network and the layer whose units are shown."""

    model: nn.Module
    layer: LayerSpec
    input: InputConfig
    device: torch.device

    def scores(self, images: Tensor, pictures: Sequence[Picture]) -> Tensor:
        """Return each picture's score, shape (batch,); `images` are on 0..1 at the model's input size."""
        maps: list[Tensor] = []
        prepared = normalize(images, self.input).contiguous(memory_format=torch.channels_last)
        with capture(self.model, [self.layer], lambda _, own: maps.append(own), stop=True) as run:
            run(prepared)
        return scores(maps[0], pictures)


def optimize(target: Target, pictures: Sequence[Picture], config: OptimizeConfig, dtype: str) -> NDArray[np.uint8]:
    """Return the finished pictures, 8-bit, shape (batch, height, width, channels)."""
    if len(pictures) == 1:
        # On processors, a batch of one takes other code paths than every larger batch and rounds differently; by
        # the end of the ascent that is visible. In company, the same picture comes out to the last bit.
        return optimize(target, [*pictures, *pictures], config, dtype)[:1]
    generators = [generator_of(picture) for picture in pictures]
    learned = parameterization(config, channels=target.input.channels, device=target.device)
    parameters = learned.start(generators).requires_grad_()
    warps = draw_warps(config.transform, generators, config.steps).to(target.device)
    signs = torch.tensor([picture.sign for picture in pictures], device=target.device)
    uphill = ascent(config, parameters)
    with torch.enable_grad():
        for warps_now in warps:
            images = learned.image(parameters)
            seen = _seen(images, warps_now, target, config, generators)
            with torch.autocast(target.device.type, dtype=torch.bfloat16, enabled=dtype == "bfloat16"):
                value = target.scores(seen, pictures)
            aim = signs * value - penalty(images, config.regularizers)
            (gradient,) = torch.autograd.grad(aim.sum(), parameters)
            uphill.step(conditioned(_without_broken(gradient), config.gradient))
    with torch.no_grad():
        return quantize(learned.image(parameters))


def _seen(
    images: Tensor, warps: Tensor, target: Target, config: OptimizeConfig, generators: Sequence[torch.Generator]
) -> Tensor:
    """Return what the model is shown: the pictures warped to its input size, with their own noise."""
    warped = warp(images, warps, height=target.input.height, width=target.input.width)
    if config.transform.noise_std == 0:
        return warped
    noise = torch.stack([torch.randn(warped.shape[1:], generator=generator) for generator in generators])
    return warped + config.transform.noise_std * noise.to(warped.device)


def generator_of(picture: Picture) -> torch.Generator:
    """Return the picture's own source of randomness, seeded by what the picture is (its key holds the seed)."""
    return torch.Generator().manual_seed(int(picture.key[:15], 16))


def _without_broken(gradient: Tensor) -> Tensor:
    """Return the gradient with zeros for items in which it is not finite, and only those."""
    finite = gradient.flatten(1).isfinite().all(dim=1)
    return torch.where(finite.view(-1, *[1] * (gradient.ndim - 1)), gradient, torch.zeros_like(gradient))


def quantize(images: Tensor) -> NDArray[np.uint8]:
    """Return images on 0..1, (batch, channels, height, width), as 8-bit (batch, height, width, channels)."""
    clean = images.nan_to_num(0.5)
    pixels: NDArray[np.uint8] = (clean * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
    return pixels


@torch.inference_mode()
def measure(target: Target, pixels: NDArray[np.uint8], pictures: Sequence[Picture]) -> list[float]:
    """Return each stored picture's score: from its 8-bit pixels, untransformed, in float32.

    `pixels` has the shape (batch, height, width, channels).
    """
    stored = torch.from_numpy(pixels).to(target.device).permute(0, 3, 1, 2).float() / 255
    images = resize(stored, height=target.input.height, width=target.input.width)
    values: list[float] = target.scores(images, pictures).tolist()
    return values
