"""Batch normalization on the way: where it follows a wanted layer, its output is made while the layer's is reduced.

Networks of convolutions normalize nearly every layer's output next, which reads the whole map once more. On a
processor reading is what costs, so both come out of one pass. What the normalization returns is the same to the bit
as torch's, where the processor multiplies and adds in one step.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from network_atlas.layers import LayerSpec
from network_atlas.models.capture import capture
from network_atlas.models.prepared import ReadableNorm
from network_atlas.scan.reducers import Floats, Reducer

Run = Callable[[Tensor], None]


@contextlib.contextmanager
def reduced(model: nn.Module, layers: Sequence[LayerSpec], reducer: Reducer) -> Iterator[Run]:
    """Yield a function that runs the model on a batch and gives each layer's maps to `reducer`.

    To be used without gradients, but not in inference mode, where nobody can see whether a map was changed in place.
    """
    modules = [module for module in model.modules() if isinstance(module, ReadableNorm)]
    norms = {module: norm for module in modules if (norm := _Norm.of(module)) is not None}
    waiting = _Waiting(reducer, norms)
    with capture(model, layers, waiting.receive, stop=True) as run:
        try:
            for module in norms:
                module.reader = waiting
            yield partial(_whole, run, waiting)
        finally:
            for module in norms:
                module.reader = None


def _whole(run: Run, waiting: _Waiting, images: Tensor) -> None:
    """Run the model; where maps changed before they were reduced, run it anew, each layer reduced at once."""
    try:
        run(images)
        waiting.reduce()
    except _ChangedError:
        waiting.followed_by.clear()
        waiting.may_wait = False
        run(images)


class _ChangedError(Exception):
    """A map was changed in place before it was reduced."""


class _Waiting:
    """Maps that wait for the normalization that follows: at most one layer's at a time.

    Which normalization follows a layer is seen in the first batch, whose layers are all reduced at once.
    """

    def __init__(self, reducer: Reducer, norms: Mapping[ReadableNorm, _Norm]) -> None:
        self._reducer = reducer
        self._norms = norms
        self._last: tuple[LayerSpec, Tensor, int] | None = None
        self._waits = False
        self.followed_by: dict[str, _Norm] = {}
        self.may_wait = bool(norms)

    def receive(self, layer: LayerSpec, maps: Tensor) -> None:
        """Reduce a layer's maps, or let them wait."""
        self.reduce()
        self._last = (layer, maps, maps._version) if self.may_wait and _is_plain(maps) else None
        self._waits = self._last is not None and layer.name in self.followed_by
        if not self._waits:
            self._reducer.receive(layer, maps)

    def reduce(self) -> None:
        """Reduce what waits, if anything does."""
        last, self._last = self._last, None
        if last is not None and self._waits:
            layer, maps, version = last
            if maps._version != version:
                raise _ChangedError
            self._reducer.receive(layer, maps)

    def normalize(self, norm: ReadableNorm, maps: Tensor) -> Tensor:
        """Return what a normalization returns for `maps`, (batch, channels, rows, columns)."""
        if self._last is None:
            return norm.by_torch(maps)
        layer, last, version = self._last
        numbers = self._norms[norm]
        if maps is not last or last._version != version or not numbers.holds:
            return norm.by_torch(maps)
        if not self._waits:
            self._last = None
            self.followed_by[layer.name] = numbers
        elif self.followed_by[layer.name] is numbers:
            self._last = None
            return self._reducer.receive_scaled(layer, maps, numbers.scale, numbers.shift)
        return norm.by_torch(maps)


def _is_plain(maps: Tensor) -> bool:
    """Say whether maps are what the compiled pass reads, need no gradient, and count their changes."""
    read = maps.dtype == torch.float32 and maps.is_contiguous(memory_format=torch.channels_last)
    return read and not maps.requires_grad and not maps.is_inference()


@dataclass(frozen=True, slots=True, eq=False)
class _Norm:
    """A normalization by fixed numbers: maps * scale + shift."""

    module: ReadableNorm
    made_of: tuple[tuple[Tensor | None, int], ...]
    """The module's state; of training only the count of batches tells."""
    scale: Floats
    shift: Floats

    @classmethod
    def of(cls, module: ReadableNorm) -> _Norm | None:
        """Return a module's numbers, computed as torch does; None where they are not fixed, or not in memory."""
        made_of = _state(module)
        tensors = [one for one, _ in made_of[:-1] if one is not None and _is_readable(one)]
        if module.training or len(tensors) < len(made_of) - 1:
            return None
        mean, variance, weight, bias = (one.detach().numpy() for one in tensors)
        with np.errstate(all="ignore"):
            scale = np.float32(1) / np.sqrt(variance + np.float32(module.eps)) * weight
            shift = (bias - mean.astype(np.float64) * scale).astype(np.float32)  # rounded once
        return cls(module, made_of, scale, shift)

    @property
    def holds(self) -> bool:
        """Say whether the module still normalizes by these numbers."""
        return not self.module.training and all(
            now is one and changes_now == changes
            for (now, changes_now), (one, changes) in zip(_state(self.module), self.made_of, strict=True)
        )


def _state(module: ReadableNorm) -> tuple[tuple[Tensor | None, int], ...]:
    """Return what a module normalizes by, and last its count of batches, each with how often it was changed."""
    tensors = (module.running_mean, module.running_var, module.weight, module.bias, module.num_batches_tracked)
    return tuple((one, _changes(one)) for one in tensors)


def _changes(one: Tensor | None) -> int:
    return 0 if one is None or one.is_inference() else one._version


def _is_readable(one: Tensor) -> bool:
    return one.dtype == torch.float32 and one.is_cpu and not one.is_inference()
