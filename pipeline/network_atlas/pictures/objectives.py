"""What is maximized: one number per picture, read from layers' maps.

An objective is a function from the maps of some pictures, (pictures, channels, rows, columns), and their units to
their scores, (pictures,). To minimize, the loop turns the sign; objectives don't know of it. Sums of units weigh the
terms' scores, whatever layers they are read from. Register a new objective under its unit's class in `OBJECTIVES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from network_atlas.units import Channel, ClassLogit, ClassProbability, Direction, Layer, Neuron, Single, Sum, terms_of

Objective = Callable[[Tensor, Sequence[Any]], Tensor]

SMALLEST_COSINE = 0.1
"""A direction's cosine counts at least this much, so that the start has a gradient (Carter et al. 2019)."""


def channel(maps: Tensor, units: Sequence[Channel]) -> Tensor:
    """Return the spatial mean of a channel (Erhan et al. 2009 for units; Olah et al. 2017 for channels)."""
    return _own(maps, units).float().mean(dim=(1, 2))


def neuron(maps: Tensor, units: Sequence[Neuron]) -> Tensor:
    """Return a channel's value at one (row, column)."""
    rows = torch.tensor([unit.row for unit in units])
    columns = torch.tensor([unit.column for unit in units])
    return _own(maps, units)[torch.arange(len(units)), rows, columns].float()


def logit(maps: Tensor, units: Sequence[ClassLogit]) -> Tensor:
    """Return a class's value before any softmax (Simonyan, Vedaldi, Zisserman 2013)."""
    return _own(maps, units)[:, 0, 0].float()


def probability(maps: Tensor, units: Sequence[ClassProbability]) -> Tensor:
    """Return a class's share after softmax; it can also be raised by lowering all others (Olah et al. 2017)."""
    return _own(maps.float().softmax(dim=1), units)[:, 0, 0]


def layer(maps: Tensor, units: Sequence[Layer]) -> Tensor:
    """Return the mean of a layer's squared values (DeepDream; Mordvintsev, Olah, Tyka 2015)."""
    return maps.float().square().flatten(1).mean(dim=1)


def direction(maps: Tensor, units: Sequence[Direction]) -> Tensor:
    """Return the mean over positions of dot product times cosine^p with a direction (Carter et al. 2019)."""
    vectors = torch.tensor([unit.vector for unit in units], device=maps.device)[:, :, None]
    power = torch.tensor([unit.cosine_power for unit in units], device=maps.device)[:, None]
    values = maps.float().flatten(2)
    dot = (values * vectors).sum(dim=1)
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


def scores(maps: Mapping[str, Tensor], units: Sequence[Single | Sum]) -> Tensor:
    """Return each picture's own score, shape (batch,).

    `maps` holds the maps of the whole batch, (batch, channels, rows, columns), by the layer's name.
    """
    alike: dict[tuple[type, str], list[tuple[int, float, Single]]] = {}
    for item, unit in enumerate(units):
        for term in terms_of(unit):
            alike.setdefault((type(term.unit), term.unit.layer), []).append((item, term.weight, term.unit))
    some = next(iter(maps.values()))
    total = torch.zeros(len(units), device=some.device)
    for (kind, name), members in alike.items():
        items = torch.tensor([item for item, _, _ in members], device=some.device)
        weights = torch.tensor([weight for _, weight, _ in members], device=some.device)
        values = OBJECTIVES[kind](maps[name][items], [unit for _, _, unit in members])
        total = total.index_add(0, items, weights * values)
    return total


def _own(maps: Tensor, units: Sequence[Any]) -> Tensor:
    """Return each picture's own channel, (pictures, rows, columns)."""
    return maps[torch.arange(len(units)), torch.tensor([unit.channel for unit in units])]
