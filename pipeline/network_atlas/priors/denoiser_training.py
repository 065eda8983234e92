"""Train a small denoiser on images of the run's own dataset.

Every random number of a step is drawn from a generator of that step's own (`network_atlas.priors.training`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from network_atlas.config.priors import DenoiserTraining
from network_atlas.priors.denoiser import Denoiser
from network_atlas.priors.fitting import Fitted, Fitting, Pixels, read_images
from network_atlas.priors.training import HELD_OUT, train

SMALLEST_LEVEL, LARGEST_LEVEL = 2 / 255, 75 / 255
"""Levels of the noise, drawn evenly on a logarithmic scale."""
SPREAD, LAST_SPREAD = 0.02, 0.01
"""Of the weights that a training begins with: of inner convolutions beside the identity, and of the last one."""
MEASURED_AT_MOST = 32
MEASURED_LEVEL = 25 / 255


def fit_denoiser(fitting: Fitting) -> Fitted:
    """Return a denoiser of the dataset's images, with its PSNR on images that it has not seen."""
    training = fitting.config.priors.denoiser
    images = read_images(fitting.config, fitting.example_ids, side_px=training.side_px)
    held_out = images[::HELD_OUT] if len(images) >= HELD_OUT else []
    seen = [image for number, image in enumerate(images) if number % HELD_OUT] if held_out else images
    network = _trained(fitting, training, seen)
    report = {"noise": MEASURED_LEVEL * 255}
    if held_out:
        report["psnr_db"] = psnr(network, held_out[:MEASURED_AT_MOST], MEASURED_LEVEL)
    return Fitted(state=network.cpu().state_dict(), images=len(seen), report=report)


def _trained(fitting: Fitting, training: DenoiserTraining, images: Sequence[Pixels]) -> Denoiser:
    channels = fitting.config.model.input.channels
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(training.seed)
        network = passing_on(Denoiser(channels, training.features, training.convolutions, gives_noise=True))
    network = network.to(fitting.device).to(memory_format=torch.channels_last)
    train(fitting, training, network, lambda step: _loss(network, _batch(images, training, step).to(fitting.device)))
    network.eval().requires_grad_(False)
    return network


def passing_on(network: Denoiser) -> Denoiser:
    """Return the network begun so that its inner convolutions pass on what they get, with a little noise.

    A chain without shortcuts is then learned as one with them (Zagoruyko, Komodakis 2017). Batch normalization, which
    the authors train theirs with, costs a third of a step more, and learned nothing in bfloat16.
    """
    first, *inner, last = (layer for layer in network.model if isinstance(layer, nn.Conv2d))
    for layer in (first, *inner, last):
        assert layer.bias is not None
        nn.init.zeros_(layer.bias)
    with torch.no_grad():
        for layer in inner:
            nn.init.dirac_(layer.weight)
            layer.weight += SPREAD * torch.randn_like(layer.weight)
    nn.init.normal_(last.weight, std=LAST_SPREAD)
    return network


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Clean patches, unit noise, and the noise's levels."""

    clean: Float[Tensor, "batch channels rows columns"]
    noise: Float[Tensor, "batch channels rows columns"]
    levels: Float[Tensor, " batch"]

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        clean = self.clean.to(device, memory_format=torch.channels_last)
        return Batch(clean=clean, noise=self.noise.to(device), levels=self.levels.to(device))


def _batch(images: Sequence[Pixels], training: DenoiserTraining, step: int) -> Batch:
    generator = np.random.default_rng([training.seed, step])
    size = training.patch_px
    patches = [
        _patch(images[number], size, generator) for number in generator.integers(len(images), size=training.batch)
    ]
    clean = torch.from_numpy(np.stack(patches)).permute(0, 3, 1, 2).float() / 255
    noise = torch.from_numpy(generator.standard_normal(tuple(clean.shape), dtype=np.float32))
    logs = generator.uniform(math.log(SMALLEST_LEVEL), math.log(LARGEST_LEVEL), training.batch)
    return Batch(clean=clean, noise=noise, levels=torch.from_numpy(np.exp(logs)).float())


def _patch(image: Pixels, size: int, generator: np.random.Generator) -> Pixels:
    """Return a square of an image, turned and mirrored at random; small images are continued by their mirror image."""
    missing = [(0, max(0, size - side)) for side in image.shape[:2]]
    whole = np.pad(image, [*missing, (0, 0)], mode="symmetric") if any(after for _, after in missing) else image
    top, left = (int(generator.integers(side - size + 1)) for side in whole.shape[:2])
    patch = np.rot90(whole[top : top + size, left : left + size], int(generator.integers(4)))
    return patch[:, ::-1] if generator.integers(2) else patch


def _loss(network: Denoiser, batch: Batch) -> Float[Tensor, ""]:
    """Return the mean square error over the noise's level: the error itself would leave weak noise unlearned."""
    levels = batch.levels.view(-1, 1, 1, 1)
    clean = network(batch.clean + levels * batch.noise, batch.levels)
    loss: Tensor = ((clean - batch.clean).square() / levels).mean()
    return loss


@torch.no_grad()
def psnr(network: Denoiser, images: Sequence[Pixels], level: float) -> float:
    """Return the mean PSNR in dB of images with Gaussian noise of a level (on 0..1), after denoising."""
    device = network.gives_noise.device
    values = []
    for number, pixels in enumerate(images):
        clean = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255
        noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(number))
        denoised = network((clean + level * noise).to(device), torch.tensor([level], device=device)).cpu()
        values.append(-10 * math.log10(float((denoised.clamp(0, 1) - clean).square().mean())))
    return float(np.mean(values))
