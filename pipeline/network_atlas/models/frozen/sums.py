"""Convolutions that wait for the maps to which their output is added: one call for both and for the ReLU behind.

A residual block adds its last convolution to maps that come from elsewhere, often after that call. So the call returns
maps without values, which the sum alone may read, and is computed with the sum: its output never goes to memory.

The next block reads the sum twice: by its first convolution, and to add to it or to convolve it for that. Torch would
add the gradients of both up in a pass of its own. So the second reader gets other maps of the same memory, and `Sum`
both gradients.
"""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from network_atlas.models.frozen.activations import gradient_through, gradient_through_relu
from network_atlas.models.frozen.bounds import LARGEST, ROUNDING, Bounds
from network_atlas.models.frozen.calls import RELU, Function, SumCall, flat
from network_atlas.models.frozen.convolutions import Convolution, Kernels
from network_atlas.models.frozen.followers import NotAsRecordedError
from network_atlas.models.frozen.memory_order import order_of
from network_atlas.models.frozen.packing import is_packed
from network_atlas.models.frozen.prepared import Frozen


@dataclass(slots=True)
class _Waiting:
    """A convolution that waits for a sum."""

    images: Tensor
    changes: int
    """How often the images had been changed in place when the convolution was called."""
    kernels: Kernels
    dtype: torch.dtype
    """The number format that it computes in."""


@dataclass(slots=True)
class _Again:
    """A sum, and what its second reader gets."""

    output: Tensor
    second: Tensor
    is_read: bool = False


class Sum(torch.autograd.Function):
    """ReLU of a convolution plus other maps."""

    @staticmethod
    def forward(
        ctx: Any, images: Tensor, other: Tensor, into: Tensor | None, kernels: Kernels, is_finite: bool
    ) -> tuple[Tensor, Tensor]:
        """Return new maps, or `into` with their values, in the number format of the other maps; and these maps again.

        Both have the same memory and, of what follows, gradients of their own.
        """
        output = kernels.forward_added(images.to(other.dtype), other, is_finite=is_finite)
        ctx.kernels, ctx.order = kernels, order_of(output)
        ctx.input_shape, ctx.input_type = images.shape, images.dtype
        if into is not None:
            output = _as(into, output)
            ctx.mark_dirty(output)
        ctx.save_for_backward(output)
        ctx.set_materialize_grads(False)
        return output, output.detach()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        """Return the gradients of the images and of the other maps from those of both outputs."""
        given = [gradient.contiguous(memory_format=ctx.order) for gradient in gradients if gradient is not None]
        if not given:
            return None, None, None, None, None
        (output,) = ctx.saved_tensors
        both = gradient_through_relu(given[0], given[1], output) if len(given) > 1 else None
        gradient = gradient_through(given[0], output, RELU) if both is None else both
        of_images = None
        if ctx.needs_input_grad[0]:
            of_images = ctx.kernels.backward(gradient, ctx.input_shape).to(ctx.input_type)
        return of_images, gradient, None, None, None


def _as(maps: Tensor, output: Tensor) -> Tensor:
    """Return `maps`, from now on with the values and the memory of an output."""
    return maps.set_(output.untyped_storage(), output.storage_offset(), output.shape, output.stride())


class Total(NamedTuple):
    """What a function that adds returns."""

    output: Tensor
    is_ahead: bool
    """Whether the ReLU behind was computed, too."""


class Sums:
    """The convolutions of one pass that wait for a sum. `ends` are the keys behind which nothing is computed ahead."""

    def __init__(self, frozen: Frozen, ends: frozenset[int], bounds: Bounds) -> None:
        self._frozen = frozen
        self._ends = ends
        self._bounds = bounds
        self._waiting: dict[int, tuple[Tensor, _Waiting]] = {}
        """By the `id` of the maps that stand for their output."""
        self._again: dict[int, _Again] = {}
        """Sums that may be read twice, by their `id`."""
        self._stood_in: MutableMapping[Tensor, bool] = WeakIdKeyDictionary()
        """Maps that stood for an output which never was."""

    @property
    def is_waited_for(self) -> bool:
        """Say whether a convolution still waits."""
        return bool(self._waiting)

    def wait(self, key: int, images: Tensor, kernels: Kernels, dtype: torch.dtype, *, ends: bool) -> Tensor | None:
        """Return maps that stand for the output of a convolution; None for one that is computed at once.

        `ends` says that its own output must be seen, or that of the normalization behind it.
        """
        total = self._frozen.recording.sums.get(key)
        can_wait = total is not None and total not in self._ends and dtype in self._frozen.formats_of_sums
        if (
            ends
            or not can_wait
            or not is_packed(images, dtype)
            or images.is_inference()
            or kernels.geometry.beyond != (0, 0)
        ):
            return None
        rows, columns = kernels.geometry.outputs(
            (images.shape[2], images.shape[3]), (kernels.weight.shape[2], kernels.weight.shape[3])
        )
        shape = images.shape[0], kernels.weight.shape[0], rows, columns
        maps = torch.empty(shape, dtype=dtype, memory_format=torch.channels_last)
        self._waiting[id(maps)] = maps, _Waiting(images, images._version, kernels, dtype)
        return maps

    def second(self, maps: Tensor) -> Tensor:
        """Return what a frozen call reads that is given `maps`: a sum's second reader gets the maps made for it.

        Not where a hook watches the gradient of the sum, for it must see all of it.
        """
        again = self._again.get(id(maps))
        if again is None:
            return maps
        if not again.is_read:
            again.is_read = True
            return maps
        del self._again[id(maps)]
        return maps if maps._backward_hooks or maps.retains_grad else again.second

    def refuse(self, function: Function, values: Iterable[Any]) -> None:
        """Raise NotAsRecordedError where a function that adds nothing reads maps without values."""
        if not self._waiting and not self._stood_in:
            return
        for value in values:
            if id(value) in self._waiting or (isinstance(value, Tensor) and value in self._stood_in):
                raise NotAsRecordedError(f"{function} reads a convolution that waits for a sum")

    def add(self, function: Function, arguments: Any, keywords: Any) -> Total | None:
        """Return what a function that adds returns; None where no convolution waits for that."""
        if not any(id(value) in self._waiting for value in flat(arguments, keywords)):
            self.refuse(function, flat(arguments, keywords))
            return None
        call = SumCall.of(function, arguments, keywords)
        pair = [] if call is None else [call.first, call.second]
        place = int(bool(pair) and id(pair[0]) not in self._waiting)
        if call is None or (call.in_place and place):
            raise NotAsRecordedError(f"{function} in the place of a sum")
        maps, other = pair[place], pair[1 - place]
        if id(other) in self._waiting:
            other = pair[1 - place] = self._by_itself(self._let_go(other))
        waiting = self._let_go(maps)
        if other.shape != maps.shape or other.dtype is not maps.dtype or not is_packed(other):
            pair[place] = self._by_itself(waiting)
            return Total(self._bounds.sum(function, pair, {}), is_ahead=False)
        output = self._added(waiting, other, maps if call.in_place else None)
        if not call.in_place:
            maps.data = output.detach()  # for who looks at it after the pass
            self._stood_in[maps] = True
        return Total(output, is_ahead=True)

    def _let_go(self, maps: Tensor) -> _Waiting:
        waiting = self._waiting.pop(id(maps))[1]
        if waiting.images._version != waiting.changes:
            raise NotAsRecordedError("the input of a convolution that waits for a sum was changed in place")
        return waiting

    def _added(self, waiting: _Waiting, other: Tensor, into: Tensor | None) -> Tensor:
        """Return ReLU of a convolution plus other maps; `into`, if given, becomes that."""
        images, kernels = waiting.images, waiting.kernels
        own, others = self._bounds.behind(images, kernels, wanted=True), self._bounds.measured(other)
        bound = None if own is None or others is None else ROUNDING * (own + others)
        is_finite = bound is not None and bound < LARGEST
        if torch.is_grad_enabled() and (images.requires_grad or other.requires_grad):
            other = self.second(other)
            output, again = cast(tuple[Tensor, Tensor], Sum.apply(images, other, into, kernels, is_finite))
            self._again[id(output)] = _Again(output, again)
            self._bounds.note(again, bound)
        else:
            output = kernels.forward_added(images.to(other.dtype), other, is_finite=is_finite)
            output = output if into is None else _as(into, output)
        self._bounds.note(output, bound)
        return output

    def _by_itself(self, waiting: _Waiting) -> Tensor:
        """Return a convolution that need not wait any more."""
        images, kernels, dtype = waiting.images, waiting.kernels, waiting.dtype
        bound = self._bounds.behind(images, kernels, wanted=False)
        if images.requires_grad and torch.is_grad_enabled():
            output: Tensor = Convolution.apply(images, kernels, None, dtype, False)
        else:
            output = kernels.forward(images.to(dtype), None)
        self._bounds.note(output, bound)
        return output
