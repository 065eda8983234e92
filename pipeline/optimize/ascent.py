"""One step uphill: which direction is steepest depends on how distance is measured (Olah et al. 2017,
"Preconditioning").

`adam` and `nadam` scale every parameter by its own history. `l2` follows the gradient itself, `linf` its sign. With a
Fourier parameterization, `l2` is the steepest direction in the decorrelated space. Every rule treats the items of a
batch apart.
"""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.config.recipe import OptimizeConfig
from pipeline.optimize.regularizers import blurred

PYRAMID_LEVELS = 4
SMALLEST = 1e-12


class Ascent(Protocol):
    """Improves parameters in place, given the gradient of what is maximized."""

    def step(self, gradient: Tensor) -> None: ...


class Optimizer:
    """A torch optimizer that works element by element."""

    def __init__(self, parameters: Tensor, optimizer: torch.optim.Optimizer) -> None:
        self._parameters = parameters
        self._optimizer = optimizer

    def step(self, gradient: Tensor) -> None:
        """Move the parameters uphill."""
        self._parameters.grad = -gradient
        self._optimizer.step()


class Steepest:
    """Steepest ascent: steps of equal size per item, `rate` per parameter in the mean square (l2) or each (linf)."""

    def __init__(self, parameters: Tensor, rate: float, *, signs: bool) -> None:
        self._parameters = parameters
        self._rate = rate
        self._signs = signs

    @torch.no_grad()
    def step(self, gradient: Tensor) -> None:
        """Move the parameters uphill."""
        self._parameters += self._rate * (gradient.sign() if self._signs else _unit_size(gradient))


def ascent(config: OptimizeConfig, parameters: Tensor) -> Ascent:
    """Return the rule that the recipe names."""
    rate = config.learning_rate
    if config.ascent == "adam":
        return Optimizer(parameters, torch.optim.Adam([parameters], lr=rate))
    if config.ascent == "nadam":
        return Optimizer(parameters, torch.optim.NAdam([parameters], lr=rate))
    return Steepest(parameters, rate, signs=config.ascent == "linf")


def conditioned(gradient: Tensor, kind: str) -> Tensor:
    """Return a pixel gradient with its high frequencies held back, so that they grow no faster than the others.

    'blurred' blurs it (Øygard 2015); 'laplacian' splits it into frequency bands and gives each the same size
    (Mordvintsev 2016).
    """
    if kind == "blurred":
        return blurred(blurred(gradient))
    return _equal_bands(gradient) if kind == "laplacian" else gradient


def _equal_bands(gradient: Tensor) -> Tensor:
    bands, rest = [], gradient
    for _ in range(PYRAMID_LEVELS):
        halves = [min(2, size) for size in rest.shape[-2:]]
        coarse = F.avg_pool2d(rest, halves, ceil_mode=True)
        bands.append(rest - F.interpolate(coarse, size=rest.shape[-2:], mode="bilinear", align_corners=False))
        rest = coarse
    result = _unit_size(rest)
    for band in reversed(bands):
        larger = F.interpolate(result, size=band.shape[-2:], mode="bilinear", align_corners=False)
        result = larger + _unit_size(band)
    return result


def _unit_size(gradient: Tensor) -> Tensor:
    """Return the gradient divided by its root mean square, item by item; zero stays zero."""
    size = gradient.flatten(1).square().mean(dim=1).sqrt().clamp(min=SMALLEST)
    return gradient / size.view(-1, *[1] * (gradient.ndim - 1))
