"""Samples of a Langevin chain in place of pictures that climb (after PPGN; Nguyen et al. 2017, equation 5).

A step adds the gradient of a log density and noise:

    x <- x + step * scale * gradient + spread * sqrt(scale) * z,    z ~ N(0, 1)

Small steps with spread² = 2 * step sample the density (Langevin), whatever the scale of each parameter, as long as it
is constant; with spread² = 2 * step * T they sample the density to the power of 1 / T, the temperature.

For pictures, the log density is the objective plus a weight times the log density of natural images, over the
parameters of the picture. Their gradients differ by orders of magnitude, from unit to unit and from coarse forms to
fine ones. So each parameter is scaled by the size of its gradient (Li et al. 2016, preconditioned Langevin dynamics;
RMSprop), which is averaged over the burn-in and constant from then on. T counts in units of the mean size.

A chain starts several times, and of each start some states are samples. Kept are those that excite the unit more than a
share of the dataset's images do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from network_atlas.config.sampler import ChainConfig
from network_atlas.optimize.finished import FinishedPicture
from network_atlas.optimize.pull import RATIOS, sizes_of
from network_atlas.optimize.slots import ActivePicture, Sample, Sampling, thinned
from network_atlas.pictures.randomness import generator_of
from network_atlas.pictures.stored import Pixels, measure, quantize
from network_atlas.pictures.target import Target
from network_atlas.plan.pictures import Picture
from network_atlas.stats.sample import percentile_of

Batch = Float[Tensor, "batch ..."]
SQUARES = "chain_squares"
"""Tensor of the slots: the sum of the squares of each parameter's gradient since the last start, over the burn-in."""
FLOOR = 0.01
"""Least size of a parameter's gradient that counts, as a share of the mean: parameters without one stay near."""
SMALLEST = 1e-20

Start = Callable[[Picture, torch.Generator], Tensor]
"""Returns new parameters of a picture, (1, ...), by a generator."""


def langevin_step(
    x: Batch, gradient: Batch, noise: Batch, *, step: float, spread: float, scale: Batch | None = None
) -> Batch:
    """Return the next states of chains; `gradient` is that of the log density at `x`, `noise` is drawn from N(0, 1).

    `scale` is that of each parameter; 1 without it.
    """
    if scale is not None:
        gradient, noise = scale * gradient, scale.sqrt() * noise
    return x + step * gradient + spread * noise


def spread_of(step: float, temperature: float = 1.0) -> float:
    """Return the standard deviation of the noise with which steps sample a density at a temperature."""
    return math.sqrt(2 * step * temperature)


class Chains:
    """The rule by which pictures of one recipe move, start anew and leave samples."""

    def __init__(self, config: ChainConfig, period: int, start: Start) -> None:
        self._config, self._period, self._start = config, period, start

    def sampling(self, members: Sequence[Picture], attempt: int, device: torch.device) -> Sampling:
        """Return the part of a chain under way that is its own; its random numbers follow from its first picture."""
        key = members[0].key
        return Sampling(
            members=tuple(members),
            period=self._period,
            burn_in=self._config.burned_in(self._period),
            starts=generator_of(key, "start", attempt),
            noise=generator_of(key, "chain", attempt, device),
        )

    def started(self, sampling: Sampling) -> Tensor:
        """Return new parameters, (1, ...), and draw the weight of the prior that goes with them."""
        parameters = self._start(sampling.members[0], sampling.starts)
        low, high = self._config.strength_range
        share = float(torch.rand(1, generator=sampling.starts))
        sampling.strength = low * (high / low) ** share
        return parameters

    def state(self, parameters: Batch) -> dict[str, Batch]:
        """Return what a chain remembers of its gradients before the first step."""
        return {SQUARES: torch.zeros_like(parameters)}

    def step(
        self, parameters: Batch, gradient: Batch, state: Mapping[str, Tensor], active: Sequence[ActivePicture]
    ) -> Batch:
        """Return the parameters after a step of every picture; updates `state`."""
        device, squares = gradient.device, state[SQUARES]
        axes = (-1, *[1] * (gradient.ndim - 1))
        burning = torch.tensor([entry.age < entry.settled for entry in active], device=device)
        squares += gradient.square() * burning.view(axes)
        counts = torch.tensor([min(entry.age + 1, entry.settled) for entry in active], device=device)
        sizes = (squares / counts.view(axes)).sqrt()
        mean = (sizes_of(sizes) / math.sqrt(gradient[0].numel())).clamp(min=SMALLEST).view(axes)
        scale = mean / torch.maximum(sizes, FLOOR * mean)
        noise = torch.stack([_noise(entry, gradient.shape[1:], device) for entry in active])
        config = self._config
        return langevin_step(parameters, gradient / mean, noise, step=config.step, spread=config.noise, scale=scale)

    def collect(
        self, active: Sequence[ActivePicture], tensors: Mapping[str, Tensor], image: Callable[[Tensor], Tensor]
    ) -> None:
        """Take the samples that are due after a step, and start chains anew whose steps are over."""
        due = [slot for slot, entry in enumerate(active) if self._is_due(entry)]
        if due:
            for slot, pixels in zip(due, quantize(image(tensors["parameters"][due])), strict=True):
                sampling = active[slot].sampling
                assert sampling is not None
                start = (active[slot].step - 1) // sampling.period
                sampling.samples.append(Sample(step=active[slot].step, start=start, pixels=pixels))
        for slot, entry in enumerate(active):
            if entry.sampling is not None and entry.age == 0 and entry.step < len(entry.warps):
                tensors["parameters"][slot] = self.started(entry.sampling)[0]
                for name in (SQUARES, RATIOS):
                    if name in tensors:
                        tensors[name][slot] = 0

    def _is_due(self, entry: ActivePicture) -> bool:
        taken = (entry.step - 1) % self._period + 1  # steps since the last start
        return taken > self._config.burned_in(self._period) and (self._period - taken) % self._config.sample_every == 0

    def finished(
        self, entry: ActivePicture, last: FinishedPicture, target: Target, values: NDArray[np.float32] | None
    ) -> dict[str, FinishedPicture]:
        """Return a chain's pictures by their keys: the chosen samples, or `last` where there are too few.

        `values` are what the dataset's images score at the unit, (examples,); None where the scan does not say.
        """
        sampling = entry.sampling
        assert sampling is not None
        samples, sign = sampling.samples, entry.picture.sign
        scores = self._scores(entry, target)
        kept = [self._is_kept(sign * score, None if values is None else sign * values) for score in scores]
        order = chosen([sample.start for sample in samples], kept, [sign * score for score in scores])
        pictures = [_picture(samples[number], entry, last) for number in order]
        pictures += [last] * (len(sampling.members) - len(pictures))
        return {picture.key: made for picture, made in zip(sampling.members, pictures, strict=False)}

    def _scores(self, entry: ActivePicture, target: Target) -> list[float]:
        assert entry.sampling is not None
        if not entry.sampling.samples:
            return []
        pixels: Pixels = np.stack([sample.pixels for sample in entry.sampling.samples])
        return measure(replace(target, before_activation=False), pixels, [entry.picture.readable] * len(pixels))

    def _is_kept(self, score: float, values: NDArray[np.float32] | None) -> bool:
        """Say whether a score is high enough among those of the dataset's images; of minimized ones all are negated."""
        if self._config.percentile == 0:
            return True
        percentile = None if values is None else percentile_of(score, values)
        return percentile is not None and percentile >= self._config.percentile


def chosen(starts: Sequence[int], kept: Sequence[bool], scores: Sequence[float]) -> list[int]:
    """Return the numbers of samples, those first that are to be shown.

    First the kept ones: one of each start, then a second of each, and so on, the latest of a start first, since it is
    the farthest from where the chain began. Then the others, the highest score first.
    """
    of_start: dict[int, list[int]] = {}
    for number in reversed(range(len(starts))):
        if kept[number]:
            of_start.setdefault(starts[number], []).append(number)
    rounds = zip_longest(*(of_start[start] for start in sorted(of_start)))
    order = [number for numbers in rounds for number in numbers if number is not None]
    rest = [number for number, keep in enumerate(kept) if not keep]
    return order + sorted(rest, key=lambda number: -scores[number])


def _picture(sample: Sample, entry: ActivePicture, last: FinishedPicture) -> FinishedPicture:
    return replace(last, pixels=sample.pixels, steps=sample.step, curve=thinned(entry.history[: sample.step]))


def _noise(entry: ActivePicture, shape: torch.Size, device: torch.device) -> Tensor:
    assert entry.sampling is not None
    return torch.randn(shape, generator=entry.sampling.noise, device=device)
