"""Pictures that are learned together: diverse sets are kept apart, the pictures of an interpolation alike.

Both are penalties between the pictures of one group, read from their maps in one layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from network_atlas.config.recipe import TogetherConfig
from network_atlas.plan.pictures import Picture

FARTHEST = 4
"""Pictures of an interpolation are compared with neighbours up to this distance."""


def group_penalty(
    maps: Mapping[str, Float[Tensor, "views channels rows columns"]],
    groups: Sequence[Sequence[Picture]],
    rows: Sequence[Sequence[int]],
    config: TogetherConfig,
) -> Float[Tensor, ""]:
    """Return the sum of all groups' penalties, weighted as the recipe says; pictures alone have none.

    `rows` are the rows of `maps` in which each group's pictures are seen.
    """
    total = next(iter(maps.values())).new_zeros((), dtype=torch.float32)
    for pictures, numbers in zip(groups, rows, strict=True):
        together = pictures[0].together
        if together is None or together.kind == "chain":
            continue
        compared = maps[together.layer][list(numbers)].float()
        if together.kind == "diverse":
            total = total + config.diversity * style_similarity(compared)
        else:
            total = total + config.alignment * neighbour_distance(compared)
    return total


def style_similarity(maps: Float[Tensor, "pictures channels rows columns"]) -> Float[Tensor, ""]:
    """Return how similar pictures are in style: the cosines of their Gram matrices, summed over pairs, over the count.

    From Olah et al. (2017, "Diversity"), after Gatys et al. (2015).
    """
    flat = maps.flatten(2)
    grams = torch.nn.functional.normalize((flat @ flat.transpose(1, 2)).flatten(1), dim=1)
    cosines = grams @ grams.T
    return (cosines.sum() - cosines.diagonal().sum()) / len(maps)


def neighbour_distance(maps: Float[Tensor, "pictures channels rows columns"]) -> Float[Tensor, ""]:
    """Return how far pictures are from their neighbours: mean squared differences, halved with each step of distance.

    From Olah et al. (2017, "Interaction between neurons"), whose notebooks align the pictures of a row like this.
    """
    total = maps.new_zeros(())
    for distance in range(1, min(FARTHEST, len(maps) - 1) + 1):
        total = total + (maps[distance:] - maps[:-distance]).square().mean() / 2**distance
    return total
