"""Numbers that say what a finished picture is worth, each from the stored 8-bit pixels.

Vectors of a layer are its maps' spatial means, (images, channels), in float32.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from network_atlas.config.recipe import TransformConfig
from network_atlas.models.memory import FittingBatch
from network_atlas.pictures.objectives import scores
from network_atlas.pictures.parameterizations.maco import magnitude_of, resized
from network_atlas.pictures.randomness import generator_of
from network_atlas.pictures.target import Target
from network_atlas.pictures.transforms import draw_warps, warp
from network_atlas.plan.pictures import Picture
from network_atlas.units import Channel, ClassLogit, ClassProbability, Neuron

Vectors = NDArray[np.float64]

STANDARD = TransformConfig(
    pad_px=0,
    fill="grey",
    jitter_px=16,
    scale_min=0.8,
    scale_max=1.25,
    rotate_degrees=20,
    crop=None,
    views=8,
    noise_std=0.0,
)
"""The transforms of `transform=standard`, eight views; shifts are for a picture of `STANDARD_SIDE`."""
STANDARD_SIDE = 128
RINGS = 16
"""Rings of frequency, of equal width in its logarithm, in which magnitudes are compared."""
LEAST_LIKENESS = 0.05
"""Best examples that are no more alike than this, beyond chance, have no path in common to compare with."""
SMALLEST = 1e-6


def rank_of(picture: Picture, maps: Tensor) -> int | None:
    """Return the place of the unit's channel among all channels of its layer on its own picture, from 1.

    `maps` is (channels, rows, columns). Channels are ranked by the plain activation that the objective reads: their
    spatial means, or for neurons their values at the position; minimized pictures are ranked from below. None for
    units that are no channel.
    """
    unit = picture.unit
    if not isinstance(unit, Channel | Neuron | ClassLogit | ClassProbability):
        return None
    values = maps[:, unit.row, unit.column] if isinstance(unit, Neuron) else maps.float().mean(dim=(1, 2))
    own = picture.sign * values
    return 1 + int((own > own[unit.channel]).sum())


@torch.inference_mode()
def robustness_loss(
    target: Target, picture: Picture, image: Tensor, score: float, *, room: FittingBatch | None = None
) -> float | None:
    """Return the share of the score that is lost, on average, under the standard transforms; None for a score of zero.

    `image` is (channels, height, width) on 0..1, as stored. Negative when the transforms raise the score.
    `room` is how many views fit the device's memory; all where it is left out.
    """
    if abs(score) < SMALLEST or not np.isfinite(score):
        return None
    size = image.shape[-2], image.shape[-1]
    (warps,) = draw_warps(STANDARD, generator_of(picture.key, "warps", 9), 1, size)
    warps[:, :2] *= max(size) / STANDARD_SIDE
    views = image[None].expand(STANDARD.views, -1, -1, -1)
    seen = warp(views, warps.to(image.device), height=target.input.height, width=target.input.width)

    def of_part(part: slice) -> list[Tensor]:
        return list(scores(target.maps(seen[part]), [picture.readable] * len(seen[part])))

    values = torch.stack((room or FittingBatch(STANDARD.views)).over(of_part, STANDARD.views))
    return float((score - values.mean().item()) / abs(score))


def frequency_distance(image: Tensor, magnitude: Tensor) -> float:
    """Return how far a picture's frequency magnitude is from the dataset's, in decades: 0 is alike, 1 a factor of ten.

    The root mean square difference of their base-10 logarithms over rings of frequency, each averaged over its ring and
    all channels, overall strength set aside. `magnitude` is (channels, height, width // 2 + 1) of any size.
    """
    height, width = image.shape[-2:]
    own, natural = magnitude_of(image[None].cpu())[0], resized(magnitude, height, width)
    profiles = [_rings(one, height, width) for one in (own, natural)]
    logs = [torch.log10(profile.clamp(min=SMALLEST)) for profile in profiles]
    difference = (logs[0] - logs[0].mean()) - (logs[1] - logs[1].mean())
    return float(difference.square().mean().sqrt())


def _rings(magnitude: Tensor, height: int, width: int) -> Tensor:
    """Return the mean magnitude of each ring of frequency that holds any, the lowest first."""
    down, along = torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None]
    frequency = (down**2 + along**2).sqrt().flatten()
    lowest = 1.0 / min(height, width)
    place = (torch.log(frequency.clamp(min=lowest / 2) / lowest) / np.log(0.5 / lowest) * RINGS).floor().long()
    inside = (frequency >= lowest) & (frequency <= 0.5)
    mean = magnitude.mean(dim=0).flatten()
    ring = place.clamp(0, RINGS - 1)[inside]
    total = torch.zeros(RINGS).index_add(0, ring, mean[inside])
    count = torch.zeros(RINGS).index_add(0, ring, torch.ones_like(mean[inside]))
    return total[count > 0] / count[count > 0]


def path_similarity(own: Sequence[Vectors], top: Sequence[Vectors], random: Sequence[Vectors]) -> float | None:
    """Return how alike a picture and its unit's best examples are on the way to the unit: 1 as alike as these are among
    themselves, 0 no more than any image is like them.

    Each argument holds one array per layer of the path, (images, channels); `own` has one image. Similarity is the
    cosine of standardized vectors, averaged over pairs, then over layers (after Geirhos et al. 2024, "Don't trust your
    eyes", who normalize the same way). None where the examples tell nothing: fewer than two, or no more alike than any.
    """
    values = [found for layer in zip(own, top, random, strict=True) if (found := _normalized(*layer)) is not None]
    return float(np.mean(values)) if values else None


def _normalized(own: Vectors, top: Vectors, random: Vectors) -> float | None:
    if len(top) < 2 or len(random) < 2:
        return None
    centre, spread = random.mean(axis=0), random.std(axis=0)
    alive = spread > SMALLEST
    if not alive.any():
        return None
    mine, best, any_ = (_unit((one - centre)[:, alive] / spread[alive]) for one in (own, top, random))
    likeness: Vectors = best @ best.T
    among = float(likeness.sum() - np.trace(likeness)) / (len(top) * (len(top) - 1))
    by_chance = float((any_ @ best.T).mean())
    if among - by_chance < LEAST_LIKENESS:
        return None
    return (float((mine @ best.T).mean()) - by_chance) / (among - by_chance)


def _unit(vectors: Vectors) -> Vectors:
    result: Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), SMALLEST)
    return result
