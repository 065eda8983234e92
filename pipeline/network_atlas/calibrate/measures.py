"""Measure what a finished picture is worth, from its stored 8-bit pixels.

An image's vector in a layer is the spatial means of its maps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64
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

Vectors = Float64[NDArray[np.float64], "_images channels"]

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
"""The transforms of `transform=standard`, with eight views; shifts are for a picture of `STANDARD_SIDE` pixels."""
STANDARD_SIDE = 128
RINGS = 16
"""Rings of frequency, of equal width in its logarithm, in which magnitudes are compared."""
LEAST_SIMILARITY = 0.05
"""Best examples that are no more similar than this, beyond chance, have no path in common to compare with."""
ROBUSTNESS_ATTEMPT = 9
"""Sets the warps of this measure apart from those that the picture was learned with: attempts 0 and 1."""
SMALLEST = 1e-6


def rank_of(picture: Picture, maps: Float[Tensor, "channels rows columns"]) -> int | None:
    """Return the rank of the unit's channel among all channels of its layer, on its own picture, from 1.

    Channels are ranked by the plain activation that the objective reads: their
    spatial means, or for neurons their values at the position; minimized pictures are ranked from below. None for
    units that are not a channel.
    """
    unit = picture.unit
    if not isinstance(unit, Channel | Neuron | ClassLogit | ClassProbability):
        return None
    values = maps[:, unit.row, unit.column] if isinstance(unit, Neuron) else maps.float().mean(dim=(1, 2))
    signed = picture.sign * values
    return 1 + int((signed > signed[unit.channel]).sum())


@torch.inference_mode()
def robustness_loss(
    target: Target,
    picture: Picture,
    image: Float[Tensor, "channels height width"],
    score: float,
    *,
    fitting: FittingBatch | None = None,
) -> float | None:
    """Return the share of the score that is lost, on average, under the standard transforms; None for a score of zero.

    `image` is on 0..1, as stored. The share is negative when the transforms raise the score. `fitting` is how many
    views fit the device's memory; without it, all do.
    """
    if abs(score) < SMALLEST or not np.isfinite(score):
        return None
    size = image.shape[-2], image.shape[-1]
    (warps,) = draw_warps(STANDARD, generator_of(picture.key, "warps", ROBUSTNESS_ATTEMPT), 1, size)
    warps[:, :2] *= max(size) / STANDARD_SIDE
    views = image[None].expand(STANDARD.views, -1, -1, -1)
    seen = warp(views, warps.to(image.device), height=target.input.height, width=target.input.width)

    def of_part(part: slice) -> list[Tensor]:
        return list(scores(target.maps(seen[part]), [picture.readable] * len(seen[part])))

    values = torch.stack((fitting or FittingBatch(STANDARD.views)).over(of_part, STANDARD.views))
    return float((score - values.mean().item()) / abs(score))


def frequency_distance(
    image: Float[Tensor, "channels height width"], magnitude: Float[Tensor, "channels rows frequencies"]
) -> float:
    """Return how far a picture's frequency magnitude is from the dataset's, in decades: 0 is equal, 1 a factor of ten.

    The root mean square difference of their base-10 logarithms over rings of frequency, each averaged over its ring and
    all channels. Contrast does not count: the mean logarithm is subtracted. `magnitude` may be of any size.
    """
    height, width = image.shape[-2:]
    learned, natural = magnitude_of(image[None].cpu())[0], resized(magnitude, height, width)
    profiles = [_rings(each, height, width) for each in (learned, natural)]
    logs = [torch.log10(profile.clamp(min=SMALLEST)) for profile in profiles]
    difference = (logs[0] - logs[0].mean()) - (logs[1] - logs[1].mean())
    return float(difference.square().mean().sqrt())


def _rings(magnitude: Float[Tensor, "channels height frequencies"], height: int, width: int) -> Float[Tensor, " rings"]:
    """Return the mean magnitude of each ring of frequency that holds any, the lowest first."""
    down, along = torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None]
    frequency = (down**2 + along**2).sqrt().flatten()
    lowest = 1.0 / min(height, width)
    number = (torch.log(frequency.clamp(min=lowest / 2) / lowest) / np.log(0.5 / lowest) * RINGS).floor().long()
    inside = (frequency >= lowest) & (frequency <= 0.5)
    mean = magnitude.mean(dim=0).flatten()
    ring = number.clamp(0, RINGS - 1)[inside]
    total = torch.zeros(RINGS).index_add(0, ring, mean[inside])
    count = torch.zeros(RINGS).index_add(0, ring, torch.ones_like(mean[inside]))
    return total[count > 0] / count[count > 0]


class PathLikeness(NamedTuple):
    """How like a unit's best examples a picture is, in the layers on the path to the unit."""

    similarity: float | None
    """1 is as similar as the best examples are to each other, 0 as similar as any image is to them. It has no bounds: a
    picture may show what the examples share without all the rest, and is then more like them than they are (above 1).
    Normalized as by Geirhos et al. (2024, "Don't trust your eyes")."""
    percentile: float | None
    """Percentage of any images that are less like the examples than the picture is, 0 to 100; about 50 for a picture
    that has nothing in common with them."""


def path_likeness(picture: Sequence[Vectors], top: Sequence[Vectors], random: Sequence[Vectors]) -> PathLikeness:
    """Return how similar a picture and its unit's best examples are in the layers on the path to the unit.

    Each argument holds one array for each layer of the path; `picture` has one image, `random` are any images of the
    dataset. Similarity is the cosine of standardized vectors, averaged over pairs, then over layers. None where there
    are fewer than two examples, or where they are no more similar to each other than to any image.
    """
    compared = [
        standardized
        for layer in zip(picture, top, random, strict=True)
        if (standardized := _standardized(*layer)) is not None
    ]
    if not compared:
        return PathLikeness(None, None)
    return PathLikeness(
        float(np.mean([_normalized_similarity(*layer) for layer in compared])),
        float(np.mean([_percentage_below(*layer) for layer in compared])),
    )


def _normalized_similarity(picture: Vectors, top: Vectors, random: Vectors, among: float) -> float:
    by_chance = float((random @ top.T).mean())
    return (float((picture @ top.T).mean()) - by_chance) / (among - by_chance)


def _percentage_below(picture: Vectors, top: Vectors, random: Vectors, _: float) -> float:
    likeness = float((picture @ top.T).mean())
    return float(100 * np.mean((random @ top.T).mean(axis=1) < likeness))


def _standardized(picture: Vectors, top: Vectors, random: Vectors) -> tuple[Vectors, Vectors, Vectors, float] | None:
    """Return the vectors in standard deviations from any images' mean, of length 1, and how alike the examples are.

    None where the examples have nothing in common that could be compared.
    """
    if len(top) < 2 or len(random) < 2:
        return None
    centre, spread = random.mean(axis=0), random.std(axis=0)
    alive = spread > SMALLEST
    if not alive.any():
        return None
    picture, top, random = (
        _unit_length((vectors - centre)[:, alive] / spread[alive]) for vectors in (picture, top, random)
    )
    cosines: Vectors = top @ top.T
    # The diagonal is each example with itself, which is 1 and says nothing.
    among = float(cosines.sum() - np.trace(cosines)) / (len(top) * (len(top) - 1))
    return (picture, top, random, among) if among - float((random @ top.T).mean()) >= LEAST_SIMILARITY else None


def _unit_length(vectors: Vectors) -> Vectors:
    result: Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), SMALLEST)
    return result
