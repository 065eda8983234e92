"""What is maximized: one number per picture, read from the target layer's maps.

An objective is a function from one picture's maps, shape (channels, rows, columns), and its unit to a score without
shape. To minimize, the loop turns the sign; objectives don't know of it. Register a new one in `OBJECTIVES`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from pipeline.plan.tasks import Picture
from pipeline.units import Channel, ClassLogit, Neuron, Unit

Objective = Callable[[Tensor, Unit], Tensor]


def channel(maps: Tensor, unit: Unit) -> Tensor:
    """Return the spatial mean of a channel (Erhan et al. 2009 for units; Olah et al. 2017 for channels)."""
    assert isinstance(unit, Channel)
    return maps[unit.channel].mean()


def neuron(maps: Tensor, unit: Unit) -> Tensor:
    """Return a channel's value at one (row, column)."""
    assert isinstance(unit, Neuron)
    return maps[unit.channel, unit.row, unit.column]


def logit(maps: Tensor, unit: Unit) -> Tensor:
    """Return a class's value before any softmax (Simonyan, Vedaldi, Zisserman 2013)."""
    assert isinstance(unit, ClassLogit)
    return maps[unit.channel, 0, 0]


OBJECTIVES: dict[str, Objective] = {"channel": channel, "neuron": neuron, "logit": logit}


def scores(maps: Tensor, pictures: Sequence[Picture]) -> Tensor:
    """Return each picture's own score, shape (batch,), from the maps of a batch (batch, channels, rows, columns)."""
    values = [OBJECTIVES[picture.objective](own, picture.unit) for own, picture in zip(maps, pictures, strict=True)]
    return torch.stack(values).float()
