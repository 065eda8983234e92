"""Run a model with its frozen calls in the place of torch's: a mode, in which nothing of the model is changed.

While the mode is on, torch hands over every call of its functions. A convolution whose weights are known returns what
its followers would make of its output, and marks the result as ahead; the followers then find their work done and
return what they got. Everything else is torch's own. A call that was not recorded as reading a value that is ahead
raises NotAsRecordedError: the model went another way, and the pass counts for nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from network_atlas.models.frozen import calls
from network_atlas.models.frozen.activations import activate
from network_atlas.models.frozen.attention import can_mix, mix, self_attention
from network_atlas.models.frozen.bounds import LARGEST, Bounds, activated
from network_atlas.models.frozen.calls import Activation, ConvolutionCall, Function, MixCall, NormCall, PadCall
from network_atlas.models.frozen.convolutions import Convolution
from network_atlas.models.frozen.followers import NOTHING_FOLLOWS, Followers, NotAsRecordedError
from network_atlas.models.frozen.linears import FORMATS, Linear
from network_atlas.models.frozen.norms import Normalization
from network_atlas.models.frozen.packing import is_packed
from network_atlas.models.frozen.prepared import Frozen, is_fixed
from network_atlas.models.frozen.sums import Sums
from network_atlas.models.frozen.tables import has_table, tabled


@dataclass(slots=True)
class _Ahead:
    """A value that was computed ahead, and the calls that must still be made with it."""

    tensor: Tensor
    norm: int | None
    activation: Activation | None
    last: Activation | None
    """What alone reads the value behind these calls, and was not computed ahead: the value is seen as it is."""

    @property
    def is_done(self) -> bool:
        return self.norm is None and self.activation is None


class FrozenPass(TorchFunctionMode):
    """One forward pass of a model with its frozen calls. `ends` are the keys behind which nothing is computed ahead."""

    def __init__(self, frozen: Frozen, ends: frozenset[int] = frozenset()) -> None:
        super().__init__()
        self._frozen = frozen
        self._ends = ends
        self._ahead: dict[int, _Ahead] = {}
        self._bounds = Bounds()
        self._pads = 0
        self._unpadded: dict[int, tuple[Tensor, int]] = {}
        """Values whose padding is left to the convolution behind, by their `id`, and the paddings' keys."""
        self._sums = Sums(frozen, ends, self._bounds)
        self._last: tuple[Tensor, Activation] | None = None
        """The value that the last call returned, and the activation that alone reads it and may take its memory."""

    def finish(self) -> None:
        """Raise NotAsRecordedError where a value is ahead at the end of a whole pass."""
        if self._ahead or self._unpadded or self._sums.is_waited_for:
            raise NotAsRecordedError("the pass ended before a recorded call")

    def __torch_function__(self, function: Function, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        keywords = keywords or {}
        if self._unpadded and not calls.is_convolution(function):
            self._refuse_unpadded(function, arguments, keywords)
        if function in calls.READ_ONLY:
            return function(*arguments, **keywords)
        if function in calls.UNCOUNTED and not isinstance(calls.input_of(arguments, keywords), nn.Parameter):
            self._bounds.give_up()
        last, self._last = self._last, None
        if last is not None and _activates(last, function, arguments, keywords):
            return activate(*last)
        if self._ahead:
            done = self._take_over(function, arguments, keywords)
            if done is not None:
                return done
        if function not in calls.ADDS:
            self._sums.refuse(function, calls.flat(arguments, keywords))
        way = _WAYS.get(function)
        return function(*arguments, **keywords) if way is None else way(self, function, arguments, keywords)

    def _take_over(self, function: Function, arguments: Any, keywords: Any) -> Tensor | None:
        """Return the value of a call that was computed ahead; None for a call that has to do with no such value."""
        first = calls.input_of(arguments, keywords)
        ahead = self._ahead.get(id(first))
        if ahead is None:
            if any(id(value) in self._ahead for value in calls.flat(arguments, keywords)):
                raise NotAsRecordedError(f"{function} reads a value that was computed ahead")
            return None
        if ahead.norm is not None:
            if not calls.is_norm(function) or id(NormCall(*arguments, **keywords).running_mean) != ahead.norm:
                raise NotAsRecordedError(f"{function} in the place of a normalization")
            ahead.norm = None
        else:
            if calls.activation_of(function, arguments, keywords) != ahead.activation:
                raise NotAsRecordedError(f"{function} in the place of an activation")
            ahead.activation = None
        if ahead.is_done:
            del self._ahead[id(first)]
            self._let_go(ahead.tensor, ahead.last)
        return ahead.tensor

    def _let_go(self, output: Tensor, activation: Activation | None) -> None:
        """Note that the activation which alone reads a value may take its memory, if its call is the very next one.

        Only where no gradient is wanted, which might need the value.
        """
        if activation is not None and not output.requires_grad:
            self._last = output, activation

    def _followers(self, key: int, *, keeps_input: bool) -> Followers:
        """Return what is computed ahead behind a call.

        With `keeps_input` that is no activation whose gradient needs its input, since nobody keeps that.
        """
        followers = self._frozen.recording.followers.get(key, NOTHING_FOLLOWS)
        if key in self._ends:
            return NOTHING_FOLLOWS
        norm, activation = followers
        if norm is not None and norm not in self._frozen.factors:
            return NOTHING_FOLLOWS
        if norm in self._ends or (activation is not None and keeps_input and not activation.has_gradient_of_output):
            activation = None
        return Followers(norm, activation)

    def _mark(self, output: Tensor, key: int, followers: Followers) -> Tensor:
        recorded = self._frozen.recording.followers.get(key, NOTHING_FOLLOWS)
        if followers != NOTHING_FOLLOWS:
            last = recorded.activation if followers.activation is None else None
            self._ahead[id(output)] = _Ahead(output, *followers, last)
        elif recorded.norm is None:
            self._let_go(output, recorded.activation)
        return output

    def _refuse_unpadded(self, function: Function, arguments: Any, keywords: Any) -> None:
        if any(id(value) in self._unpadded for value in calls.flat(arguments, keywords)):
            raise NotAsRecordedError(f"{function} reads a value whose padding was left to a convolution")

    def _add(self, function: Function, arguments: Any, keywords: Any) -> Any:
        total = self._sums.add(function, arguments, keywords)
        if total is None:
            return self._bounds.sum(function, arguments, keywords)
        if total.is_ahead:
            self._ahead[id(total.output)] = _Ahead(total.output, None, calls.RELU, None)
        return total.output

    def _pad(self, function: Function, arguments: Any, keywords: Any) -> Tensor:
        self._pads += 1
        key, call = -self._pads, PadCall(*arguments, **keywords)
        is_known = self._frozen.paddings.get(key) == tuple(call.pad) and call.is_zeros and call.input.ndim == 4
        if not is_known or key in self._ends or call.input.device.type != "cpu":
            result: Tensor = function(*arguments, **keywords)
            return result
        # Another tensor of the same memory: other calls may read the value without its padding.
        unpadded: Tensor = torch.ops.aten.alias(call.input)
        self._bounds.note(unpadded, self._bounds.of(call.input))
        self._unpadded[id(unpadded)] = unpadded, key
        return unpadded

    def _padding_of(self, images: Tensor, convolution: int) -> tuple[int, ...] | None:
        """Return the padding that was left to a convolution; None where there is none."""
        _, key = self._unpadded.pop(id(images), (None, 0))
        if key and self._frozen.recording.padded[key][0] != convolution:
            raise NotAsRecordedError("another convolution in the place of the one behind a padding")
        return self._frozen.paddings[key] if key else None

    def _convolve(self, function: Function, arguments: Any, keywords: Any) -> Tensor:
        call = ConvolutionCall(*arguments, **keywords)
        key, images = id(call.weight), call.input
        known = self._frozen.recording.convolutions.get(key)
        pad = self._padding_of(images, key)
        if key not in self._frozen.geometries or known is None or not _is_same(call, known) or images.ndim != 4:
            if pad is not None:
                raise NotAsRecordedError("a convolution behind a padding has other arguments")
            result: Tensor = function(*arguments, **keywords)
            return result
        dtype = _number_format(images)
        with_gradient = images.requires_grad and torch.is_grad_enabled()
        images = self._sums.second(images)
        followers = self._followers(key, keeps_input=with_gradient)
        kernels = self._frozen.kernels(key, followers.norm, pad)
        activation = followers.activation
        waits = self._sums.wait(key, images, kernels, dtype, ends=key in self._ends or followers.norm in self._ends)
        if waits is not None:
            if followers.norm is not None:
                self._ahead[id(waits)] = _Ahead(waits, followers.norm, None, None)
            return waits
        wanted = activation is not None and not activation.keeps_nan and is_packed(images, dtype)
        bound = self._bounds.behind(images, kernels, wanted=wanted)
        is_finite = bound is not None and bound < LARGEST
        if with_gradient:
            output = Convolution.apply(images, kernels, activation, dtype, is_finite)
        else:
            output = kernels.forward(images.to(dtype), activation, is_finite=is_finite)
        self._bounds.note(output, activated(bound, activation))
        return self._mark(output, key, followers)

    def _normalize(self, function: Function, arguments: Any, keywords: Any) -> Tensor:
        call = NormCall(*arguments, **keywords)
        key, maps = id(call.running_mean), call.input
        known = self._frozen.recording.norms.get(key)
        if key not in self._frozen.factors or known is None or not _is_same(call, known):
            result: Tensor = function(*arguments, **keywords)
            return result
        with_gradient = maps.requires_grad and torch.is_grad_enabled()
        followers = self._followers(key, keeps_input=with_gradient)
        norm = self._frozen.norm(key)
        if with_gradient:
            output = Normalization.apply(maps, norm, followers.activation)
        else:
            output = norm.forward(maps, followers.activation)
        return self._mark(output, key, followers)

    def _activate(self, function: Function, arguments: Any, keywords: Any) -> Any:
        activation, maps = calls.activation_of(function, arguments, keywords), calls.input_of(arguments, keywords)
        in_place = calls.is_in_place(function, arguments, keywords)
        if activation is None or not isinstance(maps, Tensor) or not has_table(maps, activation, in_place=in_place):
            return self._bounds.activation(function, arguments, keywords)
        bound = self._bounds.of(maps)
        result = tabled(maps, activation, in_place=in_place)
        self._bounds.note(result, activated(bound, activation))
        return result

    def _linear(self, function: Function, arguments: Any, keywords: Any) -> Tensor:
        call = calls.LinearCall(*arguments, **keywords)
        key = id(call.weight)
        known = self._frozen.recording.linears.get(key)
        is_known = known is not None and _is_same(call, known) and is_fixed(call.weight, call.bias)
        if not is_known or _number_format(call.input) not in FORMATS:
            result: Tensor = function(*arguments, **keywords)
            return result
        return self._linear_map(call.input, call.weight, call.bias)

    def _linear_map(self, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        dtype = _number_format(rows)
        weights = self._frozen.weights(weight, bias, dtype)
        if rows.requires_grad and torch.is_grad_enabled():
            result: Tensor = Linear.apply(rows, weights)
            return result
        return weights.forward(rows.to(dtype))

    def _attend(self, function: Function, arguments: Any, keywords: Any) -> Any:
        first = calls.input_of(arguments, {"input": keywords.get("query")})
        fixed = [weight for weight in calls.flat(arguments, keywords) if isinstance(weight, nn.Parameter)]
        linear = self._linear_map if _number_format(first) in FORMATS else None
        if linear is not None and is_fixed(*fixed) and len(fixed) >= 2:
            result = self_attention(arguments, keywords, linear)
            if result is not None:
                return result
        return function(*arguments, **keywords)


def _activates(last: tuple[Tensor, Activation], function: Function, arguments: Any, keywords: Any) -> bool:
    """Say whether a call computes the activation of that very value."""
    value, activation = last
    is_input = calls.input_of(arguments, keywords) is value
    return is_input and calls.activation_of(function, arguments, keywords) == activation


def _mix(arguments: Any, keywords: Any) -> Tensor:
    call = MixCall(*arguments, **keywords)
    with_gradient = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in call[:3])
    if with_gradient and _number_format(call.query) is torch.bfloat16 and can_mix(call):
        return mix(call)
    return F.scaled_dot_product_attention(*arguments, **keywords)


_WAYS: dict[Function, Callable[[FrozenPass, Function, Any, Any], Any]] = {
    torch.conv2d: FrozenPass._convolve,
    F.batch_norm: FrozenPass._normalize,
    F.pad: FrozenPass._pad,
    F.linear: FrozenPass._linear,
    **dict.fromkeys(calls.ADDS, FrozenPass._add),
    **dict.fromkeys(calls.ACTIVATIONS, FrozenPass._activate),
    F.multi_head_attention_forward: FrozenPass._attend,
    F.scaled_dot_product_attention: lambda _, function, arguments, keywords: _mix(arguments, keywords),
}


def _is_same(call: tuple[Any, ...], known: tuple[Any, ...]) -> bool:
    """Say whether a call has the recorded weights and numbers; its input, which comes first, may be any."""
    return all(
        now is then or (not isinstance(now, Tensor) and not isinstance(then, Tensor) and now == then)
        for now, then in zip(call[1:], known[1:], strict=True)
    )


def _number_format(maps: Tensor) -> torch.dtype:
    """Return what torch computes in: the format of mixed precision where that is on, or else the maps' own."""
    device = maps.device.type
    if torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return maps.dtype
