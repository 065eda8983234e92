"""Let a denoiser pull at pictures while they climb their objective: each by itself, with a weight of its own.

The weight of a picture makes the pull as large as `strength` times the objective's gradient, on average over its first
steps, and then stays: later the two may differ, as the picture does.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from network_atlas.config.priors import DenoiserPrior
from network_atlas.optimize.slots import ActivePicture
from network_atlas.priors.denoiser import Denoiser
from network_atlas.priors.score import pull

FIRST_STEPS = 8
"""Steps in which the weight is found."""
RATIOS = "pull_ratios"
"""Tensor of the slots: the sum of (size of the objective's gradient / size of the pull) over the first steps."""
SMALLEST = 1e-20


class Pull:
    """The pull of a denoiser at the pictures of one recipe.

    `dtype` ('float32', 'bfloat16') is what a denoiser computes in that gives the noise; differences are in float32.
    """

    def __init__(self, denoiser: Denoiser, config: DenoiserPrior, dtype: str) -> None:
        self._denoise, self._config = partial(denoiser.in_fixed_batches, dtype=dtype), config

    @torch.no_grad()
    def added(
        self,
        gradient: Float[Tensor, "batch channels height width"],
        images: Float[Tensor, "batch channels height width"],
        active: Sequence[ActivePicture],
        ratios: Float[Tensor, " batch"],
    ) -> Float[Tensor, "batch channels height width"]:
        """Return the objective's gradient with the pull added, both in the space of the images; update `ratios`."""
        device = images.device
        levels = torch.tensor([self._level(entry) for entry in active], device=device)
        noise = torch.stack([_noise(entry, images.shape[1:], device) for entry in active])
        pulled = pull(self._denoise, images.detach(), noise, levels)
        young = torch.tensor([entry.age < FIRST_STEPS for entry in active], device=device)
        now = sizes_of(gradient) / sizes_of(pulled).clamp(min=SMALLEST)
        ratios += torch.where(young, now, torch.zeros_like(now))
        counts = torch.tensor([min(entry.age + 1, FIRST_STEPS) for entry in active], device=device)
        strengths = [self._config.strength * (entry.sampling.strength if entry.sampling else 1) for entry in active]
        weights = torch.tensor(strengths, device=device) * ratios / counts
        return gradient + weights.view(-1, 1, 1, 1) * pulled

    def _level(self, entry: ActivePicture) -> float:
        """Return the noise of a step, on 0..1: it falls by equal factors, over the steps or a chain's burn-in."""
        progress = min(1.0, entry.age / entry.settled)
        start, end = self._config.noise_start, self._config.noise_end
        level: float = start * (end / start) ** progress
        return level / 255


def _noise(entry: ActivePicture, shape: torch.Size, device: torch.device) -> Float[Tensor, "channels height width"]:
    assert entry.prior is not None
    return torch.randn(shape, generator=entry.prior, device=device)


def sizes_of(gradients: Float[Tensor, "batch ..."]) -> Float[Tensor, " batch"]:
    """Return the root of the sum of squares of each gradient.

    One by one: a sum over several rows at once may be divided among threads in another way, and round otherwise.
    """
    return torch.stack([gradient.float().flatten().square().sum().sqrt() for gradient in gradients])
