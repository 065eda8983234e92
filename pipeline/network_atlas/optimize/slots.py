"""The pictures that are being learned right now: one row of every tensor for each.

Pictures come and go in groups; what is kept of one is its row, so that a new group takes the place of a finished one
and the batch stays full.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor

from network_atlas.config.recipe import StopConfig
from network_atlas.plan.pictures import Picture

CURVE_POINTS = 32
"""A stored score curve has at most this many points."""
CHECK_EVERY = 8
"""Steps between two looks at whether a picture is done."""


@dataclass(slots=True, kw_only=True)
class Item:
    """One picture under way."""

    picture: Picture
    warps: Tensor
    """All its warps, (steps, views, 4)."""
    noise: torch.Generator
    step: int = 0
    history: list[float] = field(default_factory=list)
    """Its score at every step, as the model saw it."""
    broken: bool = False
    """Its gradient was not finite; it stays as it was before."""

    def is_done(self, config: StopConfig) -> bool:
        """Say whether nothing more is to be gained."""
        if self.broken or self.step >= len(self.warps):
            return True
        return self.step % CHECK_EVERY == 0 and has_flattened(self.history, config, sign=self.picture.sign)


def has_flattened(history: Sequence[float], config: StopConfig, *, sign: int) -> bool:
    """Say whether the last window's mean rose over the one before by less than `gain` of the whole rise."""
    window = config.window
    if config.gain == 0 or len(history) < 3 * window:
        return False
    first, before, last = (
        sign * _mean(part) for part in (history[:window], history[-2 * window : -window], history[-window:])
    )
    return last - before < config.gain * (last - first) or last <= first


def thinned(history: Sequence[float]) -> list[dict[str, float]]:
    """Return a curve as at most `CURVE_POINTS` points: a step (its last, from 1) and the mean score up to it."""
    edges = sorted({round(len(history) * part / CURVE_POINTS) for part in range(CURVE_POINTS + 1)})
    return [{"step": stop, "score": _mean(history[start:stop])} for start, stop in pairwise(edges)]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


class Slots:
    """Items with their parameters and state, row by row."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.tensors: dict[str, Tensor] = {}
        """'parameters', and whatever else is kept of an item; shapes (items, ...)."""
        self._scores: list[Tensor] = []

    @property
    def groups(self) -> list[list[int]]:
        """Return the places of each group's items."""
        found: dict[str, list[int]] = {}
        for place, item in enumerate(self.items):
            found.setdefault(item.picture.group or item.picture.key, []).append(place)
        return list(found.values())

    def add(self, items: Sequence[Item], tensors: dict[str, Tensor]) -> None:
        """Put new items behind those that are there."""
        self.read_scores()
        old = self.tensors or {name: tensor[:0] for name, tensor in tensors.items()}
        self.tensors = {name: torch.cat([old[name], tensor.detach()]) for name, tensor in tensors.items()}
        self.items += items

    def remove(self, places: Sequence[int]) -> None:
        """Take items out."""
        self.read_scores()
        kept = [place for place in range(len(self.items)) if place not in set(places)]
        self.tensors = {name: tensor[kept] for name, tensor in self.tensors.items()}
        self.items = [self.items[place] for place in kept]

    def note(self, scores: Tensor) -> None:
        """Take down the scores of one step, shape (items,), without waiting for the device."""
        self._scores.append(scores)
        for item in self.items:
            item.step += 1
        if any(item.step % CHECK_EVERY == 0 or item.step == len(item.warps) for item in self.items):
            self.read_scores()

    def read_scores(self) -> None:
        """Bring noted scores, and which items broke, from the device."""
        if self._scores:
            columns = torch.stack(self._scores).T.tolist()
            broken = self.tensors["broken"].tolist()
            for item, values, is_broken in zip(self.items, columns, broken, strict=True):
                item.history += values
                item.broken = is_broken
            self._scores = []
