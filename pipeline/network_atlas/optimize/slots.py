"""The pictures that are being learned right now: each has a slot, which is one row of every tensor.

Pictures come and go in groups. A finished group's rows are taken out and a new group's rows are added, so that the
batch stays full. The numbers of the slots change with that; they hold within one step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor

from network_atlas.config.recipe import StopConfig
from network_atlas.plan.pictures import Picture

CURVE_POINTS = 32
"""A stored score curve has at most this many points."""
CHECK_EVERY = 8
"""Steps between two checks of whether a picture is done. On a GPU each check waits for the device."""
AT_ONCE, AT_ONCE_ON_GPU = 12, 64
"""Views of pictures in a step where `optimize.batch` leaves it open. On processors more would take as long for each; a
GPU that is given few images waits for the processor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A state of a chain that may become a picture."""

    step: int
    """Steps that the chain had taken, from 1."""
    start: int
    pixels: UInt8[NDArray[np.uint8], "height width channels"]


@dataclass(slots=True, kw_only=True)
class Sampling:
    """What a chain has (`optimize.chain`), beside a picture that climbs."""

    members: tuple[Picture, ...]
    """The pictures that its samples become."""
    period: int
    """Steps from one start to the next."""
    burn_in: int
    starts: torch.Generator
    noise: torch.Generator
    strength: float = 1.0
    """Factor on the strength of the prior since the last start."""
    samples: list[Sample] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class ActivePicture:
    """One picture under way, apart from its tensors."""

    picture: Picture
    warps: Float[Tensor, "steps views 4"]
    """Its warps of all steps."""
    noise: torch.Generator
    """Draws the noise that is added to what the model sees."""
    prior: torch.Generator | None = None
    """Draws the noise that a denoiser takes off again; None without a prior."""
    step: int = 0
    history: list[float] = field(default_factory=list)
    """Its score at every step, as the model saw it."""
    climbed: list[float] = field(default_factory=list)
    """The value that the ascent climbed at every step: the score, or its logarithm."""
    broken: bool = False
    """Its gradient was not finite. It stays as it was before."""
    sampling: Sampling | None = None
    """None for a picture that climbs."""

    @property
    def period(self) -> int:
        """Return the steps from its start to its end, or of a chain to the next start."""
        return self.sampling.period if self.sampling else len(self.warps)

    @property
    def age(self) -> int:
        """Return the steps that it has taken since its last start."""
        return self.step % self.period if self.sampling else self.step

    @property
    def settled(self) -> int:
        """Return the steps after a start in which what changes with the steps comes to its end; at least one."""
        return max(1, self.sampling.burn_in if self.sampling else len(self.warps) - 1)

    def is_done(self, config: StopConfig) -> bool:
        """Say whether it has taken all its steps, is broken, or its score has flattened."""
        if self.broken or self.step >= len(self.warps):
            return True
        # By what is climbed, not the score: a probability near 0 looks flat while its logarithm still rises.
        return (
            self.sampling is None
            and self.step % CHECK_EVERY == 0
            and has_flattened(self.climbed, config, sign=self.picture.sign)
        )


def views_at_once(batch: int, device: torch.device) -> int:
    """Return how many views of pictures take a step together on a device, for `optimize.batch`."""
    return batch or (AT_ONCE if device.type == "cpu" else AT_ONCE_ON_GPU)


def has_flattened(history: Sequence[float], config: StopConfig, *, sign: int) -> bool:
    """Say whether the last window's mean rose over the one before by less than `gain` of the whole rise.

    `sign` is -1 for pictures that minimize. Too short a history has not flattened.
    """
    window = config.window
    if config.gain == 0 or len(history) < 3 * window:
        return False
    first, before, last = (
        sign * _mean(part) for part in (history[:window], history[-2 * window : -window], history[-window:])
    )
    # A score that fell from first to last has no rise to compare with: `gain` of a negative number says nothing.
    return last - before < config.gain * (last - first) or last <= first


def thinned(history: Sequence[float]) -> list[dict[str, float]]:
    """Return a curve as at most `CURVE_POINTS` points: a step (its last, from 1) and the mean score up to it."""
    edges = sorted({round(len(history) * part / CURVE_POINTS) for part in range(CURVE_POINTS + 1)})
    return [{"step": stop, "score": _mean(history[start:stop])} for start, stop in pairwise(edges)]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


class Slots:
    """The active pictures with their parameters and state; the slot of a picture is its row in every tensor."""

    def __init__(self) -> None:
        self.active: list[ActivePicture] = []
        self.tensors: dict[str, Float[Tensor, "slots ..."]] = {}
        """'parameters', 'broken', and what else is kept of each picture."""
        self._noted: list[Float[Tensor, "2 slots"]] = []
        """Scores and what was climbed, of the steps since they were last brought from the device."""

    @property
    def groups(self) -> list[list[int]]:
        """Return the slots of each group's pictures."""
        slots: dict[str, list[int]] = {}
        for slot, active in enumerate(self.active):
            slots.setdefault(active.picture.group or active.picture.key, []).append(slot)
        return list(slots.values())

    def is_done(self, group: Sequence[int], config: StopConfig) -> bool:
        """Say whether all pictures of a group are done: a group leaves as a whole."""
        return all(self.active[slot].is_done(config) for slot in group)

    def add(self, group: Sequence[ActivePicture], tensors: dict[str, Float[Tensor, "pictures ..."]]) -> None:
        """Put new pictures behind those that are there; `tensors` holds one row for each of them."""
        self.read_scores()
        # Empty slots take names, types and shapes from their first group: what a slot holds depends on the recipe.
        before = self.tensors or {name: tensor[:0] for name, tensor in tensors.items()}
        self.tensors = {name: torch.cat([before[name], tensor.detach()]) for name, tensor in tensors.items()}
        self.active += group

    def remove(self, slots: Sequence[int]) -> None:
        """Take the pictures in these slots out; those behind them move up."""
        self.read_scores()
        kept = [slot for slot in range(len(self.active)) if slot not in set(slots)]
        self.tensors = {name: tensor[kept] for name, tensor in self.tensors.items()}
        self.active = [self.active[slot] for slot in kept]

    def note(self, scores: Float[Tensor, " slots"], climbed: Float[Tensor, " slots"]) -> None:
        """Keep the numbers of one step and count it, without waiting for the device at every step."""
        self._noted.append(torch.stack([scores, climbed]))
        for active in self.active:
            active.step += 1
        if any(active.step % CHECK_EVERY == 0 or active.step == len(active.warps) for active in self.active):
            self.read_scores()

    def read_scores(self) -> None:
        """Bring the numbers that were kept, and which pictures broke, from the device.

        Must run before the slots change: the kept numbers are in the order of the slots.
        """
        if self._noted:
            # One copy for all steps kept: each copy from a GPU waits until the device has caught up.
            columns = torch.stack(self._noted).permute(2, 1, 0).tolist()  # (slots, 2, steps)
            broken = self.tensors["broken"].tolist()
            for active, (scores, climbed), is_broken in zip(self.active, columns, broken, strict=True):
                active.history += scores
                active.climbed += climbed
                active.broken = is_broken
            self._noted = []
