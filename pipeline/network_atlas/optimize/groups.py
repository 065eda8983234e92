"""What pictures that are learned together do to each other: diverse sets part, interpolations hold together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from network_atlas.config.recipe import TogetherConfig
from network_atlas.plan.pictures import Picture

FARTHEST = 4
"""Pictures of a row are compared with neighbours up to this distance."""


def pull(
    maps: Mapping[str, Tensor],
    groups: Sequence[Sequence[Picture]],
    places: Sequence[Sequence[int]],
    config: TogetherConfig,
) -> Tensor:
    """Return the sum of all groups' penalties, each weighted as the recipe says.

    `places` are the rows of `maps` in which each group's pictures are seen.
    """
    total = next(iter(maps.values())).new_zeros((), dtype=torch.float32)
    for pictures, rows in zip(groups, places, strict=True):
        together = pictures[0].together
        if together is None:
            continue
        own = maps[together.layer][list(rows)].float()
        if together.kind == "diverse":
            total = total + config.diversity * likeness(own)
        else:
            total = total + config.alignment * unlikeness(own)
    return total


def likeness(maps: Tensor) -> Tensor:
    """Return how alike pictures are in style: the sum over pairs of the cosine of their Gram matrices, over the count.

    `maps` is (pictures, channels, rows, columns). From Olah et al. (2017, "Diversity"), after Gatys et al. (2015).
    """
    flat = maps.flatten(2)
    grams = torch.nn.functional.normalize((flat @ flat.transpose(1, 2)).flatten(1), dim=1)
    cosines = grams @ grams.T
    return (cosines.sum() - cosines.diagonal().sum()) / len(maps)


def unlikeness(maps: Tensor) -> Tensor:
    """Return how much pictures differ from their neighbours: mean squared differences, halved with every place between.

    From Olah et al. (2017, "Interaction between neurons"), whose notebooks align the pictures of a row this way.
    """
    total = maps.new_zeros(())
    for distance in range(1, min(FARTHEST, len(maps) - 1) + 1):
        total = total + (maps[distance:] - maps[:-distance]).square().mean() / 2**distance
    return total
