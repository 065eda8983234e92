"""Reduce a layer's maps and normalize them in the same pass, where batch normalization follows the layer.

Networks of convolutions normalize nearly every layer's output next, which reads the whole map once more. On a
processor reading is the costly part, so both come out of one pass. The normalized map has the same bits as torch's,
where the processor multiplies and adds in one step.
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
from network_atlas.models.prepared import Forward, ListenedBatchNorm2d
from network_atlas.scan.reducers import Floats, Reducer

Run = Callable[[Tensor], None]


@contextlib.contextmanager
def reduced(model: nn.Module, layers: Sequence[LayerSpec], reducer: Reducer) -> Iterator[Run]:
    """Yield a function that runs the model on a batch and gives each layer's maps to `reducer`.

    `model` is one that was made ready by `network_atlas.models.prepared`; in others every layer is reduced by itself.
    To be used without gradients, but not in inference mode, where changes of a map in place can't be seen.
    """
    factors = [_Factors.of(module) for module in model.modules() if isinstance(module, ListenedBatchNorm2d)]
    fixed = [norm for norm in factors if norm is not None]
    waiting = _Waiting(reducer, may_wait=bool(fixed))
    with capture(model, layers, waiting.receive, stop=True) as run, contextlib.ExitStack() as listening:
        for norm in fixed:
            listening.enter_context(norm.module.listened(partial(waiting.normalize, norm)))
        yield partial(_run_whole, run, waiting)


def _run_whole(run: Run, waiting: _Waiting, images: Tensor) -> None:
    """Run the model; where a map changed before it was reduced, run it again and reduce each layer at once."""
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
    """Maps that wait for the normalization that follows: of at most one layer at a time.

    Which normalization follows a layer is learned in the first batch, whose layers are all reduced at once.
    """

    def __init__(self, reducer: Reducer, *, may_wait: bool) -> None:
        self._reducer = reducer
        self._last: tuple[LayerSpec, Tensor, int] | None = None
        self._waits = False
        self.followed_by: dict[str, _Factors] = {}
        self.may_wait = may_wait

    def receive(self, layer: LayerSpec, maps: Tensor) -> None:
        """Reduce a layer's maps, (batch, channels, rows, columns), or let them wait."""
        self.reduce()
        self._last = (layer, maps, maps._version) if self.may_wait and _is_plain(maps) else None
        self._waits = self._last is not None and layer.name in self.followed_by
        if not self._waits:
            self._reducer.receive(layer, maps)

    def reduce(self) -> None:
        """Reduce the maps that wait, if any do."""
        last, self._last = self._last, None
        if last is not None and self._waits:
            layer, maps, version = last
            if maps._version != version:  # torch counts changes in place; the values that were put out are gone
                raise _ChangedError
            self._reducer.receive(layer, maps)

    def normalize(self, norm: _Factors, forward: Forward, maps: Tensor) -> Tensor:
        """Return the output of a normalization for `maps`, (batch, channels, rows, columns); `forward` is its own."""
        if self._last is None:
            return forward(maps)
        layer, last, version = self._last
        if maps is not last or maps._version != version or not norm.hold:
            return forward(maps)
        if not self._waits:
            self._last = None
            self.followed_by[layer.name] = norm
        elif self.followed_by[layer.name] is norm:
            self._last = None
            return self._reducer.receive_scaled(layer, maps, norm.scale, norm.shift)
        return forward(maps)


def _is_plain(maps: Tensor) -> bool:
    """Say whether the compiled pass can read the maps, they need no gradient, and torch counts their changes."""
    is_readable = maps.dtype == torch.float32 and maps.is_contiguous(memory_format=torch.channels_last)
    return is_readable and not maps.requires_grad and not maps.is_inference()


@dataclass(frozen=True, slots=True, eq=False)
class _Factors:
    """The fixed numbers by which a module normalizes: maps * scale + shift."""

    module: ListenedBatchNorm2d
    state: tuple[tuple[Tensor | None, int], ...]
    """The tensors that the factors were computed from."""
    scale: Floats
    shift: Floats

    @classmethod
    def of(cls, module: ListenedBatchNorm2d) -> _Factors | None:
        """Return a module's factors, computed as torch does.

        None where they are not fixed, or not in the processor's memory, or where the module's forward was replaced.
        """
        state = _state(module)
        tensors = [tensor for tensor, _ in state[:-1] if tensor is not None and _is_readable(tensor)]
        if module.training or "forward" in vars(module) or len(tensors) < len(state) - 1:
            return None
        mean, variance, weight, bias = (tensor.detach().numpy() for tensor in tensors)
        with np.errstate(all="ignore"):
            scale = np.float32(1) / np.sqrt(variance + np.float32(module.eps)) * weight
            shift = (bias - mean.astype(np.float64) * scale).astype(np.float32)  # rounded once
        return cls(module, state, scale, shift)

    @property
    def hold(self) -> bool:
        """Say whether the module still normalizes by these numbers."""
        return not self.module.training and all(
            now is then and changes_now == changes_then
            for (now, changes_now), (then, changes_then) in zip(_state(self.module), self.state, strict=True)
        )


def _state(module: nn.BatchNorm2d) -> tuple[tuple[Tensor | None, int], ...]:
    """Return the tensors that a module normalizes by, and last its count of batches, each with its number of changes.

    A training pass changes the running numbers without torch counting it; only the count of batches shows it.
    """
    tensors = (module.running_mean, module.running_var, module.weight, module.bias, module.num_batches_tracked)
    return tuple((tensor, _changes(tensor)) for tensor in tensors)


def _changes(tensor: Tensor | None) -> int:
    return 0 if tensor is None or tensor.is_inference() else tensor._version


def _is_readable(tensor: Tensor) -> bool:
    return tensor.dtype == torch.float32 and tensor.is_cpu and not tensor.is_inference()
