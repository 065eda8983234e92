"""Compare a picture with its unit's best examples: the distribution of values in layers before the unit's.

After VITAL (Gorgun, Schiele, Fischer 2025), which gives a picture the same values, in order of size, as real images
have. Every channel of a layer is compared by itself, over positions; the places of the values don't count.

    numbers = distribution(maps, match="sorted")       # of one example or one view, (channels, numbers)
    target = target_of([numbers, ...])                 # of all examples
    difference(numbers, target)                        # in the examples' variances, averaged over the channels
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from network_atlas.config.schema import InputConfig
from network_atlas.dataset.preprocessing import Box
from network_atlas.pictures.target import Target
from network_atlas.pictures.transforms import resize

SORTED = 16
"""Values that stand for all of a channel's in order of size: the mean of the lowest sixteenth, of the next, ..."""
FLOOR = 0.01
"""Least variance of a channel, as a share of the layer's mean: channels that the examples leave still count little."""
SIDE_MIN_PX = 32
"""Smallest side of the compared part of an example: one position of an early layer is no distribution."""

Numbers = Float[Tensor, "channels numbers"]


Described = tuple[Numbers, Float[Tensor, " channels"], Float[Tensor, " channels"]]
"""One example's distribution in a layer, and its channels' means and variances."""


class MatchTarget(NamedTuple):
    """The distribution that a picture's values in one layer shall have."""

    numbers: Numbers
    variance: Float[Tensor, " channels"]
    """Of each channel's values over positions and examples."""


def distribution(
    maps: Float[Tensor, "channels rows columns"], match: str, inside: Bool[Tensor, "rows columns"] | None = None
) -> Numbers:
    """Return what describes each channel's values: mean and standard deviation ('moments'), or 16 'sorted' ones.

    `inside` marks the positions that count; all do without it, or where it marks none.
    """
    values = maps.float().flatten(1)
    if inside is not None and inside.any():
        values = values[:, inside.flatten().nonzero()[:, 0]]
    if match == "moments":
        mean = values.mean(dim=1)
        # The square root has no finite slope at zero, where a channel is dead.
        deviation = ((values - mean[:, None]).square().mean(dim=1) + 1e-8).sqrt()
        return torch.stack([mean, deviation], dim=1)
    # Stable: equal values, of which a ReLU makes many, keep their order.
    return values.sort(dim=1, stable=True).values @ _parts(values.shape[1]).to(values.device)


def _parts(count: int) -> Float[Tensor, "count parts"]:
    """Return the matrix that averages `count` sorted values over `SORTED` parts of equal length."""
    edges = torch.arange(SORTED + 1, dtype=torch.float64) * count / SORTED
    position = torch.arange(count, dtype=torch.float64)[:, None]
    shared = torch.minimum(position + 1, edges[None, 1:]) - torch.maximum(position, edges[None, :-1])
    return (shared.clamp(min=0) * SORTED / count).float()


def target_of(examples: Sequence[Described]) -> MatchTarget:
    """Return the mean of the examples' distributions.

    The mean of sorted values is the distribution that lies in the middle of all (their Wasserstein barycentre).
    """
    numbers, means, variances = (torch.stack(parts) for parts in zip(*examples, strict=True))
    variance = variances.mean(dim=0) + means.var(dim=0, unbiased=False)
    floor = (FLOOR * variance.mean()).clamp(min=1e-8)
    return MatchTarget(numbers.mean(dim=0), variance + floor)


def difference(numbers: Numbers, target: MatchTarget) -> Float[Tensor, ""]:
    """Return the mean squared difference between a view's distribution and the examples', in their variances."""
    return ((numbers - target.numbers).square() / target.variance[:, None]).mean()


@torch.no_grad()
def match_targets(
    target: Target,
    images: Float[Tensor, "examples channels height width"],
    boxes: Sequence[Box],
    *,
    match: str,
    halved: int = 1,
) -> dict[str, MatchTarget]:
    """Return what a picture shall be like in each layer of `target`, by the layer's name.

    `images` are examples on 0..1 at the input size; of each only the part in its box counts, (top, left, bottom, right)
    in pixels. They are shown at 1 / `halved` of that size. They pass the network in batches of a fixed size, and their
    numbers are averaged in their order: the result depends on nothing else.
    """
    height, width = target.input.height, target.input.width
    small = resize(images.to(target.device), height=height // halved, width=width // halved)
    return {
        name: target_of([_described(maps[number], box, target.input, match) for number, box in enumerate(boxes)])
        for name, maps in target.maps(small).items()
    }


def _described(maps: Float[Tensor, "channels rows columns"], box: Box, config: InputConfig, match: str) -> Described:
    part = part_in(maps.float(), box, (config.height, config.width))
    flat = part.flatten(1)
    return distribution(part, match), flat.mean(dim=1), flat.var(dim=1, unbiased=False)


def part_in(
    maps: Float[Tensor, "channels rows columns"], box: Box, size: tuple[int, int]
) -> Float[Tensor, "channels some_rows some_columns"]:
    """Return the positions of maps that lie in a box of the input, whose (height, width) is `size`; at least one.

    Maps of one column (tokens, vectors) are returned whole: the numbers of tokens say no place.
    """
    rows, columns = maps.shape[-2:]
    if columns == 1:
        return maps
    (top, bottom), (left, right) = (
        _positions(*edges, length, count)
        for edges, length, count in (((box[0], box[2]), size[0], rows), ((box[1], box[3]), size[1], columns))
    )
    return maps[:, top:bottom, left:right]


def _positions(start: float, stop: float, length: int, count: int) -> tuple[int, int]:
    side = min(max(stop - start, SIDE_MIN_PX), length)
    first = min(max(0.0, (start + stop - side) / 2), length - side)
    begin = min(math.floor(first / length * count), count - 1)
    return begin, max(begin + 1, math.ceil((first + side) / length * count))
