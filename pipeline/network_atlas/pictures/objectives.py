"""Objectives, which pictures maximize: one number per picture, read from layers' maps.

An objective is a function from the maps of some pictures, (pictures, channels, rows, columns), and their units to
their scores, (pictures,). To minimize, the loop turns the sign; objectives don't see it. The score of a sum of units is
the weighted sum of their scores, and the units may be read from different layers.

To add an objective, write its function and register it under its unit's class in `OBJECTIVES`:

    def variance(maps, units):
        return _channels(maps, units).var(dim=(1, 2))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from network_atlas.units import Channel, ClassLogit, ClassProbability, Direction, Layer, Neuron, Single, Sum, terms_of

Maps = Float[Tensor, "pictures channels rows columns"]
Scores = Float[Tensor, " pictures"]
Objective = Callable[[Maps, Sequence[Any]], Scores]

SMALLEST_COSINE = 0.1
"""A direction's cosine counts at least this much, so that the start has a gradient (Carter et al. 2019)."""


def channel(maps: Maps, units: Sequence[Channel]) -> Scores:
    """Return the spatial mean of a channel (Erhan et al. 2009 for units; Olah et al. 2017 for channels)."""
    return _channels(maps, units).float().mean(dim=(1, 2))


def neuron(maps: Maps, units: Sequence[Neuron]) -> Scores:
    """Return a channel's value at one (row, column)."""
    rows = torch.tensor([unit.row for unit in units])
    columns = torch.tensor([unit.column for unit in units])
    return _channels(maps, units)[torch.arange(len(units)), rows, columns].float()


def logit(maps: Maps, units: Sequence[ClassLogit]) -> Scores:
    """Return a class's value before any softmax (Simonyan, Vedaldi, Zisserman 2013)."""
    return _channels(maps, units)[:, 0, 0].float()


def probability(maps: Maps, units: Sequence[ClassProbability]) -> Scores:
    """Return a class's probability after softmax; lowering all other classes raises it too (Olah et al. 2017).

    This is the score. The ascent follows its logarithm: see `climbed`.
    """
    return _channels(maps.float().softmax(dim=1), units)[:, 0, 0]


def layer(maps: Maps, units: Sequence[Layer]) -> Scores:
    """Return the mean of a layer's squared values (DeepDream; Mordvintsev, Olah, Tyka 2015)."""
    return maps.float().square().flatten(1).mean(dim=1)


def direction(maps: Maps, units: Sequence[Direction]) -> Scores:
    """Return the mean over positions of dot product times cosine^p with a direction (Carter et al. 2019)."""
    vectors = torch.tensor([unit.vector for unit in units], device=maps.device)[:, :, None]
    power = torch.tensor([unit.cosine_power for unit in units], device=maps.device)[:, None]
    values = maps.float().flatten(2)
    dot = (values * vectors).sum(dim=1)  # (pictures, positions)
    # Behind a ReLU a position may be zero in all channels, and has no direction.
    cosine = dot / (values.norm(dim=1) * vectors.norm(dim=1)).clamp(min=1e-6)
    weighed: Tensor = dot * cosine.clamp(min=SMALLEST_COSINE) ** power
    return weighed.mean(dim=1)


OBJECTIVES: dict[type, Objective] = {
    Channel: channel,
    Neuron: neuron,
    ClassLogit: logit,
    ClassProbability: probability,
    Layer: layer,
    Direction: direction,
}


def scores(maps: Mapping[str, Maps], units: Sequence[Single | Sum]) -> Scores:
    """Return each picture's own score.

    `maps` holds the maps of the whole batch by the layer's name. Terms of one kind and layer are read all at once.
    """
    alike: dict[tuple[type, str], list[tuple[int, float, Single]]] = {}
    for picture, unit in enumerate(units):
        for term in terms_of(unit):
            alike.setdefault((type(term.unit), term.unit.layer), []).append((picture, term.weight, term.unit))
    device = next(iter(maps.values())).device
    total = torch.zeros(len(units), device=device)
    for (kind, name), members in alike.items():
        pictures = torch.tensor([picture for picture, _, _ in members], device=device)
        weights = torch.tensor([weight for _, weight, _ in members], device=device)
        values = OBJECTIVES[kind](maps[name][pictures], [unit for _, _, unit in members])
        total = total.index_add(0, pictures, weights * values)
    return total


def climbed(maps: Mapping[str, Maps], units: Sequence[Single | Sum], values: Scores) -> Scores:
    """Return what the ascent climbs, from the pictures' scores `values`: the scores, or their logarithms.

    The gradient of a probability p scales with p (1 - p). At the start it is nearly zero. Once p has risen and fallen
    again, Adam still divides by the size that the gradient had at the peak, and the picture never recovers. log p has
    the same maximum, and its gradient scales with 1 - p alone. So it takes the place of every score that is a
    probability, or a sum of probabilities with positive weights.
    """
    for number, unit in enumerate(units):
        terms = terms_of(unit)
        if all(isinstance(term.unit, ClassProbability) and term.weight > 0 for term in terms):
            logs = maps[terms[0].unit.layer][number, :, 0, 0].float().log_softmax(dim=0)
            # log(sum of w p) = logsumexp(log w + log p): no p is ever computed, so that none rounds to zero.
            weights = torch.tensor([term.weight for term in terms], device=logs.device)
            chosen = logs[[term.unit.channel for term in terms if isinstance(term.unit, ClassProbability)]]
            index = torch.tensor(number, device=logs.device)
            values = values.index_put((index,), (chosen + weights.log()).logsumexp(dim=0))
    return values


def _channels(maps: Maps, units: Sequence[Any]) -> Float[Tensor, "pictures rows columns"]:
    """Return the map of each picture's channel."""
    return maps[torch.arange(len(units)), torch.tensor([unit.channel for unit in units])]
