"""Rules of ascent: turn a gradient into a step.

Which direction is steepest depends on how distance is measured (Olah et al. 2017, "Preconditioning"). `adam`, `brisk`
and `nadam` scale every parameter by its own history. `l2` follows the gradient itself, `linf` its sign. With a Fourier
parameterization, `l2` is the steepest direction in the decorrelated space. Every rule treats the pictures of a batch
separately, each with its own count of steps, so that pictures can come and go; torch's optimizers have one count for
all.

    rule = ascent(recipe)
    state = rule.start(parameters)                 # tensors with one row for each picture
    parameters += rule.step(gradient, state)       # changes the state
"""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from network_atlas.config.recipe import OptimizeConfig
from network_atlas.pictures.regularizers import blurred

Batch = Float[Tensor, "batch ..."]
"""Parameters or their gradient, one row for each picture."""
State = dict[str, Batch]

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
"""Adam's own defaults (Kingma, Ba 2015), which Lucid keeps."""
BRISK_BETA1 = 0.5
"""That of Radford, Metz, Chintala (2016, "Unsupervised Representation Learning"): it remembers two steps, not ten."""
MOMENTUM_DECAY = 0.004
"""Dozat's (2016), as torch.optim.NAdam has it."""
PYRAMID_LEVELS = 4
"""As the DeepDream notebook has it (`lap_n`, Mordvintsev 2016)."""
SMALLEST = 1e-12
"""Keeps a gradient of zero at zero, where a division would make it NaN."""


class Ascent(Protocol):
    """Turns the gradient of what is maximized into a step."""

    def start(self, parameters: Batch) -> State:
        """Return the state of pictures that have taken no step yet."""

    def step(self, gradient: Batch, state: State) -> Batch:
        """Return what to add to the parameters; changes `state` in place."""


class Adam:
    """Adam (Kingma, Ba 2015), picture by picture; `beta1` is the memory of the gradient."""

    def __init__(self, rate: float, beta1: float = BETA1) -> None:
        self._rate = rate
        self._beta1 = beta1

    def start(self, parameters: Batch) -> State:
        """Return zero moments and counts."""
        return _moments(parameters)

    def step(self, gradient: Batch, state: State) -> Batch:
        """Return the step, moments corrected for their start at zero."""
        count = _update_moments(gradient, state, self._beta1)
        size = (state["second"] / (1 - BETA2**count)).sqrt_().add_(EPSILON)
        return state["first"] / (1 - self._beta1**count) * self._rate / size


class NAdam:
    """Adam with Nesterov momentum (Dozat 2016), picture by picture."""

    def __init__(self, rate: float) -> None:
        self._rate = rate

    def start(self, parameters: Batch) -> State:
        """Return zero moments and counts, and the product of all momenta so far."""
        state = _moments(parameters)
        return state | {"product": torch.ones_like(state["count"])}

    def step(self, gradient: Batch, state: State) -> Batch:
        """Return the step."""
        count = _update_moments(gradient, state, BETA1)
        # Momentum begins at about half of BETA1 and rises to it; 0.96 is Dozat's constant, fixed in torch's NAdam too.
        now = BETA1 * (1 - 0.5 * 0.96 ** (count * MOMENTUM_DECAY))
        following = BETA1 * (1 - 0.5 * 0.96 ** ((count + 1) * MOMENTUM_DECAY))
        state["product"] *= now
        product = state["product"]
        size = (state["second"] / (1 - BETA2**count)).sqrt_().add_(EPSILON)
        ahead = gradient * (1 - now) / (1 - product) + state["first"] * following / (1 - product * following)
        return self._rate * ahead / size


class Steepest:
    """Steepest ascent in steps of one size.

    `rate` is their root mean square (l2), each parameter's change (linf), or the mean of these changes (mean; Nguyen et
    al. 2016).
    """

    def __init__(self, rate: float, norm: str) -> None:
        self._rate = rate
        self._norm = norm

    def start(self, parameters: Batch) -> State:
        """Return an empty state: steepest ascent has no memory."""
        return {}

    def step(self, gradient: Batch, state: State) -> Batch:
        """Return the step."""
        if self._norm == "linf":
            return self._rate * gradient.sign()
        return self._rate * (_unit_size(gradient) if self._norm == "l2" else _unit_mean(gradient))


def ascent(config: OptimizeConfig) -> Ascent:
    """Return the rule that the recipe names."""
    if config.ascent == "adam":
        return Adam(config.learning_rate)
    if config.ascent == "brisk":
        return Adam(config.learning_rate, BRISK_BETA1)
    if config.ascent == "nadam":
        return NAdam(config.learning_rate)
    return Steepest(config.learning_rate, config.ascent)


def _moments(parameters: Batch) -> State:
    # One count for each picture, of as many axes as the parameters, so that it broadcasts against them.
    count = torch.zeros(len(parameters), *[1] * (parameters.ndim - 1), device=parameters.device)
    return {"first": torch.zeros_like(parameters), "second": torch.zeros_like(parameters), "count": count}


def _update_moments(gradient: Batch, state: State, beta1: float) -> Batch:
    """Take a gradient into the moments; return each picture's count of steps, this one included."""
    state["first"].lerp_(gradient, 1 - beta1)
    state["second"].mul_(BETA2).addcmul_(gradient, gradient, value=1 - BETA2)
    state["count"] += 1
    return state["count"]


def conditioned(gradient: Batch, kind: str) -> Batch:
    """Return a gradient whose high frequencies are held back, so that they grow no faster than the others.

    'blurred' blurs it (Øygard 2015); 'laplacian' splits it into frequency bands and gives each the same size
    (Mordvintsev 2016). Both take gradients of pixels, (batch, channels, height, width); 'plain' changes nothing.
    """
    if kind == "blurred":
        # Twice [1 2 1] / 4 is [1 4 6 4 1] / 16: nearly a Gaussian with a standard deviation of one pixel.
        return blurred(blurred(gradient))
    return _equal_bands(gradient) if kind == "laplacian" else gradient


def _equal_bands(
    gradient: Float[Tensor, "batch channels height width"],
) -> Float[Tensor, "batch channels height width"]:
    bands, rest = [], gradient
    for _ in range(PYRAMID_LEVELS):
        # A side of one pixel can't be halved; `ceil_mode` keeps the last row of an odd one.
        halves = [min(2, size) for size in rest.shape[-2:]]
        coarse = F.avg_pool2d(rest, halves, ceil_mode=True)
        bands.append(rest - F.interpolate(coarse, size=rest.shape[-2:], mode="bilinear", align_corners=False))
        rest = coarse
    result = _unit_size(rest)
    for band in reversed(bands):
        larger = F.interpolate(result, size=band.shape[-2:], mode="bilinear", align_corners=False)
        result = larger + _unit_size(band)
    return result


def _unit_mean(gradient: Batch) -> Batch:
    """Return the gradient divided by the mean of its absolute values, picture by picture; zero stays zero."""
    size = gradient.flatten(1).abs().mean(dim=1).clamp(min=SMALLEST)
    return gradient / size.view(-1, *[1] * (gradient.ndim - 1))


def _unit_size(gradient: Batch) -> Batch:
    """Return the gradient divided by its root mean square, picture by picture; zero stays zero."""
    size = gradient.flatten(1).square().mean(dim=1).sqrt().clamp(min=SMALLEST)
    return gradient / size.view(-1, *[1] * (gradient.ndim - 1))
