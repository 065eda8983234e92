"""Batch normalization on the way: where it follows a wanted layer, its output is made while the layer's is reduced.

Networks of convolutions normalize nearly every layer's output next, which reads the whole map once more. On a
processor reading is what costs, so both come out of one pass. What the normalization returns is the same to the bit
as torch's, where the processor multiplies and adds in one step.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from network_atlas.layers import LayerSpec
from network_atlas.models.capture import capture
from network_atlas.scan.reducers import Floats, Reducer

Run = Callable[[Tensor], None]


@contextlib.contextmanager
def reduced(model: nn.Module, layers: Sequence[LayerSpec], reducer: Reducer) -> Iterator[Run]:
    """Yield a function that runs the model on a batch and gives each layer's maps to `reducer`.

    To be used without gradients, but not in inference mode, where nobody can see whether a map was changed in place.
    """
    found = [_Norm.of(module) for module in model.modules() if type(module) is nn.BatchNorm2d]
    norms = [norm for norm in found if norm is not None]
    waiting = _Waiting(reducer, patient=bool(norms))
    with capture(model, layers, waiting.receive, stop=True) as run, contextlib.ExitStack() as patched:
        for norm in norms:
            vars(norm.module)["forward"] = partial(waiting.normalize, norm, norm.module.forward)
            patched.callback(vars(norm.module).pop, "forward")
        yield partial(_whole, run, waiting)


def _whole(run: Run, waiting: _Waiting, images: Tensor) -> None:
    """Run the model; where maps changed before they were reduced, run it anew, each layer reduced at once."""
    try:
        run(images)
        waiting.reduce()
    except _ChangedError:
        waiting.followed_by.clear()
        waiting.patient = False
        run(images)


class _ChangedError(Exception):
    """A map was changed in place before it was reduced."""


class _Waiting:
    """Maps that wait for the normalization that follows: at most one layer's at a time.

    Which normalization follows a layer is seen in the first batch, whose layers are all reduced at once.
    """

    def __init__(self, reducer: Reducer, *, patient: bool) -> None:
        self._reducer = reducer
        self._last: tuple[LayerSpec, Tensor, int] | None = None
        self._waits = False
        self.followed_by: dict[str, _Norm] = {}
        self.patient = patient

    def receive(self, layer: LayerSpec, maps: Tensor) -> None:
        """Reduce a layer's maps, or let them wait."""
        self.reduce()
        self._last = (layer, maps, maps._version) if self.patient and _is_plain(maps) else None
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

    def normalize(self, norm: _Norm, forward: Callable[[Tensor], Tensor], input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """Return what a normalization returns; `forward` is its own."""
        if self._last is None:
            return forward(input)
        layer, maps, version = self._last
        if input is not maps or maps._version != version or not norm.holds:
            return forward(input)
        if not self._waits:
            self._last = None
            self.followed_by[layer.name] = norm
        elif self.followed_by[layer.name] is norm:
            self._last = None
            return self._reducer.receive_scaled(layer, maps, norm.scale, norm.shift)
        return forward(input)


def _is_plain(maps: Tensor) -> bool:
    """Say whether maps are what the compiled pass reads, need no gradient, and count their changes."""
    read = maps.dtype == torch.float32 and maps.is_contiguous(memory_format=torch.channels_last)
    return read and not maps.requires_grad and not maps.is_inference()


@dataclass(frozen=True, slots=True, eq=False)
class _Norm:
    """A normalization by fixed numbers: maps * scale + shift."""

    module: nn.BatchNorm2d
    made_of: tuple[tuple[Tensor | None, int], ...]
    """The module's state; of training only the count of batches tells."""
    scale: Floats
    shift: Floats

    @classmethod
    def of(cls, module: nn.BatchNorm2d) -> _Norm | None:
        """Return a module's numbers, computed as torch does; None where they are not fixed, or not in memory, or where
        its forward is not torch's.
        """
        made_of = _state(module)
        tensors = [one for one, _ in made_of[:-1] if one is not None and _is_readable(one)]
        if module.training or "forward" in vars(module) or len(tensors) < len(made_of) - 1:
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


def _state(module: nn.BatchNorm2d) -> tuple[tuple[Tensor | None, int], ...]:
    """Return what a module normalizes by, and last its count of batches, each with how often it was changed."""
    tensors = (module.running_mean, module.running_var, module.weight, module.bias, module.num_batches_tracked)
    return tuple((one, _changes(one)) for one in tensors)


def _changes(one: Tensor | None) -> int:
    return 0 if one is None or one.is_inference() else one._version


def _is_readable(one: Tensor) -> bool:
    return one.dtype == torch.float32 and one.is_cpu and not one.is_inference()
