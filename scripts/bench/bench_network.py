"""A network that costs next to nothing, so that a run's other costs are measured. Used by `run`."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn


def two_convolutions(channels: int) -> nn.Module:
    """Return two convolutions of `channels` channels each and a classifier, for small images."""
    layers = OrderedDict(
        first=nn.Conv2d(3, channels, 3, stride=2),
        relu=nn.ReLU(),
        second=nn.Conv2d(channels, channels, 3, stride=2, groups=channels),
        pool=nn.AdaptiveAvgPool2d(1),
        flat=nn.Flatten(),
        classes=nn.Linear(channels, 10),
    )
    return nn.Sequential(layers)
