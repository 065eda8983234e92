"""How large values can be: where none can become NaN, an activation may run inside of oneDNN's convolution.

Its fused ReLU and ReLU6 turn NaN into a bound, which would hide a broken picture or broken weights. A sum of finite
numbers is NaN only behind an overflow, so it is enough to know that maps are finite and how much a convolution can
enlarge them. Bounds follow the maps from call to call. Where nothing is known of maps they are measured: images once,
and in networks without upper bounds each time that convolutions might have enlarged them beyond `LARGEST`.
"""

from __future__ import annotations

import math
from collections.abc import MutableMapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from network_atlas.models.frozen.calls import Activation, Function, activation_of, input_of
from network_atlas.models.frozen.convolutions import Kernels

LARGEST = 1e37
"""Well below the largest number of float32 and bfloat16, 3.4e38."""
ROUNDING = 1.02
"""Weights and results in bfloat16 are rounded by up to a 256th each."""


class Bounds:
    """The largest sizes that the values of maps can have in one pass; NaN where they may be not finite."""

    def __init__(self) -> None:
        self._known: MutableMapping[Tensor, tuple[int, float]] = WeakIdKeyDictionary()
        """By maps: the number of their changes in place, and the bound."""
        self._are_counted = True

    def give_up(self) -> None:
        """Know nothing of any maps from now on: some may be changed where torch does not count it."""
        self._are_counted = False

    def of(self, maps: Tensor) -> float | None:
        """Return the bound of maps; None if nothing is known of them as they are now."""
        if not self._counts(maps):
            return None
        changes, bound = self._known.get(maps, (-1, 0.0))
        return bound if changes == maps._version else None

    def note(self, maps: Tensor, bound: float | None) -> None:
        """Keep the bound of maps as they are now; nothing for None."""
        if bound is not None and self._counts(maps):
            self._known[maps] = maps._version, bound

    def behind(self, maps: Tensor, kernels: Kernels, *, wanted: bool) -> float | None:
        """Return the bound of a convolution of maps, before any activation.

        None if nothing is known of the maps; if it is `wanted`, they are measured then, and where what is known of them
        says too little.
        """
        bound = self.of(maps)
        result = None if bound is None else _enlarged(bound, kernels)
        if wanted and self._counts(maps) and (result is None or result >= LARGEST):
            self.note(maps, _measured(maps))
            return self.behind(maps, kernels, wanted=False)
        return result

    def measured(self, maps: Tensor) -> float | None:
        """Return the bound of maps, which are measured where what is known of them says too little."""
        bound = self.of(maps)
        if bound is not None and bound >= LARGEST:
            self.note(maps, _measured(maps))
            return self.of(maps)
        return bound

    def _counts(self, maps: Tensor) -> bool:
        """Say whether each change of maps is counted; those of inference mode are not."""
        return self._are_counted and not maps.is_inference()

    def sum(self, function: Function, arguments: Any, keywords: Any) -> Any:
        """Return what a function that adds returns, and note the bound of the sum of two maps."""
        bounds = [self.of(value) if isinstance(value, Tensor) else None for value in arguments]
        result = function(*arguments, **keywords)
        known = [bound for bound in bounds if bound is not None]
        if len(known) == len(bounds) == 2 and not keywords:
            self.note(result, ROUNDING * sum(known))
        return result

    def activation(self, function: Function, arguments: Any, keywords: Any) -> Any:
        """Return what an activation returns, and note the bound of that."""
        activation, maps = activation_of(function, arguments, keywords), input_of(arguments, keywords)
        bound = self.of(maps) if activation is not None and isinstance(maps, Tensor) else None
        result = function(*arguments, **keywords)
        self.note(result, activated(bound, activation))
        return result


def activated(bound: float | None, activation: Activation | None) -> float | None:
    """Return the bound of an activation's output from that of its input, which may be too large to say anything."""
    if bound is not None and bound < LARGEST and activation is not None and activation.name == "hardtanh":
        return max(map(abs, activation.numbers))
    return bound  # the other activations give no values larger than they get


def _enlarged(bound: float, kernels: Kernels) -> float:
    factor, bias = kernels.largest
    return ROUNDING * (factor * bound + bias)


def _measured(maps: Tensor) -> float:
    maps = maps.detach()
    return float(torch.maximum(maps.amax(), -maps.amin())) if maps.numel() else math.nan
