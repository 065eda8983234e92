"""What each of torch's operations does to the axes of a tensor. See `network_atlas.models.axes.tracer`.

Three general rules cover most operations: of the same shape (all that works on single values), of as many axes
(pooling, padding, slices), and with axes taken out (means, selections). Those that move, split, join or make axes have
rules of their own, in `RULES`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from torch import Tensor

from network_atlas.models.axes.kinds import (
    Arguments,
    Axes,
    Axis,
    Factor,
    Kind,
    Known,
    Rule,
    axis,
    joined,
    merged,
    resized,
)


def axes_after(operation: str, arguments: Arguments, output: Tensor, known: Known) -> Axes | None:
    """Return the axes of an output of an operation, named as in torch's schema; None where no rule applies."""
    rule = RULES.get(operation.partition("::")[2].removesuffix("_copy").removesuffix("_"))
    if rule is not None:
        return rule(arguments, output, known)
    tensors = [tensor for value in arguments.values() for tensor in _listed(value)]
    first = next((tensor for tensor in tensors if known(tensor) is not None), None)
    if first is None:
        return None
    axes = known(first)
    assert axes is not None
    return (
        _of_same_shape(tensors, output, known)
        or _of_same_rank(axes, output.shape)
        or _taken_out(axes, arguments.get("dim"), output)
    )


def _listed(value: object) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    return [item for item in value if isinstance(item, Tensor)] if isinstance(value, tuple | list) else []


# --- the three general rules


def _of_same_shape(tensors: Sequence[Tensor], output: Tensor, known: Known) -> Axes | None:
    """Return the axes after an operation on single values, whose output has the shape that its inputs broadcast to."""
    try:
        # Not torch.broadcast_shapes, which imports SymPy: half a second in each run.
        shape = np.broadcast_shapes(*(tensor.shape for tensor in tensors))
    except ValueError:
        return None
    if shape != output.shape:
        return None
    return merged([axes for tensor in tensors if (axes := known(tensor)) is not None], shape)


def _of_same_rank(axes: Axes, shape: Sequence[int]) -> Axes | None:
    """Return the axes after an operation that changes sizes at most: an axis counts what it counted before."""
    if len(axes) != len(shape):
        return None
    return tuple(resized(factors, size) for factors, size in zip(axes, shape, strict=True))


def _taken_out(axes: Axes, dim: object, output: Tensor) -> Axes | None:
    """Return the axes after an operation that takes out those named by its argument `dim`."""
    dims = {number % len(axes) for number in ([dim] if isinstance(dim, int) else dim or ())}  # type: ignore[attr-defined]
    left = tuple(factors for number, factors in enumerate(axes) if number not in dims)
    return left if dims and len(left) == output.ndim else None


# --- operations that move, split and join axes


def _first(arguments: Arguments, known: Known) -> Axes | None:
    """Return the axes of an operation's first argument."""
    return known(next(iter(arguments.values())))


def _viewed(arguments: Arguments, output: Tensor, known: Known) -> Axes | None:
    """Return the axes after a view: the same factors in the same order, otherwise grouped."""
    axes = _first(arguments, known)
    if axes is None:
        return None
    left = list(joined(factor for factors in axes for factor in factors))
    result: list[Axis] = []
    for size in output.shape:
        taken = _take(left, size)
        if taken is None:
            return None
        result.append(taken)
    return tuple(result)


def _take(left: list[Factor], size: int) -> Axis | None:
    """Take factors that make up `size` from the front of `left`; None where the front can't be split so."""
    taken: list[Factor] = []
    while size > 1:
        if not left:
            return None
        factor = left.pop(0)
        part = math.gcd(size, factor.size)
        if part != min(size, factor.size):
            return None
        taken.append(replace(factor, size=part))
        if factor.size > part:
            left.insert(0, replace(factor, size=factor.size // part))
        size //= part
    return joined(taken)


def _permuted(order: Callable[[Arguments, int], Sequence[int]]) -> Rule:
    """Return the rule of an operation that moves axes: `order` says from where each of the output's axes comes."""

    def rule(arguments: Arguments, output: Tensor, known: Known) -> Axes | None:
        axes = _first(arguments, known)
        return tuple(axes[number] for number in order(arguments, len(axes))) if axes is not None else None

    return rule


def _transposed_order(arguments: Arguments, rank: int) -> list[int]:
    order = list(range(rank))
    first, second = arguments["dim0"] % rank, arguments["dim1"] % rank
    order[first], order[second] = order[second], order[first]
    return order


def _unsqueezed(arguments: Arguments, output: Tensor, known: Known) -> Axes | None:
    axes = _first(arguments, known)
    if axes is None:
        return None
    position = arguments["dim"] % output.ndim
    return (*axes[:position], (), *axes[position:])


def _squeezed(arguments: Arguments, output: Tensor, known: Known) -> Axes | None:
    axes = _first(arguments, known)
    if axes is None:
        return None
    dim = arguments.get("dim", range(len(axes)))
    dims = {number % len(axes) for number in ([dim] if isinstance(dim, int) else dim)}
    return tuple(factors for number, factors in enumerate(axes) if factors or number not in dims)


def _expanded(arguments: Arguments, output: Tensor, known: Known) -> Axes | None:
    axes = _first(arguments, known)
    return merged([axes], output.shape) if axes is not None else None


def _concatenated(arguments: Arguments, output: Tensor, known: Known) -> Axes | None:
    """Return the axes after `cat`: those of the parts, and one of the parts' kind where they are set side by side."""
    several = [axes for tensor in arguments["tensors"] if (axes := known(tensor)) is not None]
    several = [axes for axes in several if len(axes) == output.ndim]
    if not several:
        return None
    dim = arguments["dim"] % output.ndim
    kinds = {factor.kind for axes in several for factor in axes[dim]}
    beside = axis(output.shape[dim], kinds.pop() if len(kinds) == 1 else Kind.UNKNOWN)
    others = [(*axes[:dim], (), *axes[dim + 1 :]) for axes in several]
    rest = merged(others, [1 if number == dim else size for number, size in enumerate(output.shape)])
    return (*rest[:dim], beside, *rest[dim + 1 :])


def _stacked(arguments: Arguments, output: Tensor, known: Known) -> Axes | None:
    several = [axes for tensor in arguments["tensors"] if (axes := known(tensor)) is not None]
    if not several:
        return None
    dim = arguments["dim"] % output.ndim
    rest = merged(several, [size for number, size in enumerate(output.shape) if number != dim])
    return (*rest[:dim], axis(output.shape[dim], Kind.UNKNOWN), *rest[dim:])


def _unfolded(arguments: Arguments, output: Tensor, known: Known) -> Axes | None:
    """Return the axes after `Tensor.unfold`, which puts the insides of its windows last."""
    axes = _first(arguments, known)
    if axes is None:
        return None
    windows = _of_same_rank(axes, output.shape[:-1])
    inside = axes[arguments["dimension"] % len(axes)]
    return (*windows, resized(inside, output.shape[-1])) if windows is not None else None


# --- operations that make new channels


def _channels_second(arguments: Arguments, output: Tensor, known: Known) -> Axes | None:
    """Return the axes after a convolution and its like: channels along axis 1, positions behind."""
    axes = _first(arguments, known)
    if axes is None:
        return None
    if output.ndim != len(axes):  # im2col and col2im, between (image, channels of a window, windows) and maps
        behind: Axes = tuple(axis(size, Kind.POSITION) for size in output.shape[2:])
    else:
        behind = tuple(resized(factors, size) for factors, size in zip(axes[2:], output.shape[2:], strict=True))
    if axes[1][:1] and axes[1][0].kind is Kind.IMAGE:
        return _convolved_by_image(arguments, axes, behind, output)
    made, behind = _made(axes[1], behind, output.shape[1])
    return (axes[0], made, *behind)


def _convolved_by_image(arguments: Arguments, axes: Axes, behind: Axes, output: Tensor) -> Axes | None:
    """Return the axes after a convolution with weights of each image's own: its groups are the images.

    Dynamic convolutions put the images into the channel axis, (1, image * channel, row, column), for this.
    """
    images = axes[1][0].size
    if arguments.get("groups", 1) % images or output.shape[1] % images:
        return None
    made, behind = _made(axes[1][1:], behind, output.shape[1] // images)
    return (axes[0], (Factor(images, Kind.IMAGE), *made), *behind)


def _made(inner: Axis, others: Axes, size: int) -> tuple[Axis, Axes]:
    """Return the axis that a product with weights makes of its inner one, and the others beside it.

    It holds new channels. But where the inner axis held positions and another one holds the channels, a product of as
    many positions gives positions again; and so does a second product that returns to their number, as in a mixer.
    """
    mixed = inner[0] if len(inner) == 1 else Factor(0, Kind.UNKNOWN)
    kinds = {factor.kind for factors in others for factor in factors}
    if mixed.kind is Kind.POSITION and Kind.CHANNEL in kinds:
        if mixed.size == size:
            return axis(size, Kind.POSITION), others
        return (Factor(size, Kind.CHANNEL, mixed.size),), _changed(others, Kind.CHANNEL, Kind.FORMER)
    if mixed.positions == size > 0 and Kind.FORMER in kinds:
        return axis(size, Kind.POSITION), _changed(others, Kind.FORMER, Kind.CHANNEL)
    return axis(size, Kind.CHANNEL), _changed(others, Kind.CHANNEL, Kind.FORMER)


def _changed(axes: Axes, before: Kind, after: Kind) -> Axes:
    """Return axes with one kind of factors made another."""
    return tuple(
        joined(Factor(factor.size, after) if factor.kind is before else factor for factor in factors)
        for factors in axes
    )


def _product(left: str, right: str) -> Rule:
    """Return the rule of a matrix product of two named arguments: (..., rows, inner) and (..., inner, columns).

    A product with weights makes new channels. A product of two activations, as in attention, takes its rows' axis from
    the one and its columns' axis from the other.
    """

    def rule(arguments: Arguments, output: Tensor, known: Known) -> Axes | None:
        first, second = known(arguments[left]), known(arguments[right])
        if first is not None and second is not None:
            outer = merged([first[:-2], second[:-2]], output.shape[:-2])
            return (*outer, first[-2], second[-1])
        if first is not None:
            made, others = _made(first[-1], first[:-1], output.shape[-1])
            return (*others, made)
        if second is not None:  # weights from the left mix what the second holds along its inner axis
            return (*second[:-2], resized(second[-2], output.shape[-2]), second[-1])
        return None

    return rule


def _linear(arguments: Arguments, output: Tensor, known: Known) -> Axes | None:
    axes = _first(arguments, known)
    if axes is None:
        return None
    made, others = _made(axes[-1], axes[:-1], output.shape[-1])
    return (*others, made)


def _attention(arguments: Arguments, output: Tensor, known: Known) -> Axes | None:
    """Return the axes of scaled_dot_product_attention: the query's positions, the value's features."""
    query, value = known(arguments["query"]), known(arguments["value"])
    if query is None or value is None or len(query) != output.ndim:
        return None  # also for further outputs, such as the sums that the backward pass needs
    return (*query[:-1], value[-1])


def _looked_up(arguments: Arguments, output: Tensor, known: Known) -> Axes | None:
    """Return the axes after a look-up of vectors by the numbers in a tensor."""
    axes = known(arguments["indices"])
    if axes is None:
        return None
    return (*_changed(axes, Kind.CHANNEL, Kind.FORMER), axis(output.shape[-1], Kind.CHANNEL))


def _indexed(arguments: Arguments, output: Tensor, known: Known) -> Axes | None:
    """Return the axes after indexing with tensors: known where one tensor of one axis picks along one axis."""
    axes = known(arguments["self"])
    picks = [index for index in arguments["indices"] if index is not None]
    return _of_same_rank(axes, output.shape) if axes is not None and len(picks) == 1 and picks[0].ndim == 1 else None


RULES: dict[str, Rule] = {
    **dict.fromkeys(("view", "_unsafe_view", "reshape", "_reshape_alias"), _viewed),
    "permute": _permuted(lambda arguments, rank: [number % rank for number in arguments["dims"]]),
    "transpose": _permuted(_transposed_order),
    "t": _permuted(lambda _, rank: list(range(rank))[::-1]),
    "unsqueeze": _unsqueezed,
    "squeeze": _squeezed,
    "expand": _expanded,
    "cat": _concatenated,
    "stack": _stacked,
    "unfold": _unfolded,
    **dict.fromkeys(("convolution", "im2col", "col2im", "pixel_shuffle", "pixel_unshuffle"), _channels_second),
    "linear": _linear,
    "mm": _product("self", "mat2"),
    "bmm": _product("self", "mat2"),
    "addmm": _product("mat1", "mat2"),
    "baddbmm": _product("batch1", "batch2"),
    **dict.fromkeys(
        (
            "_scaled_dot_product_flash_attention_for_cpu",
            "_scaled_dot_product_flash_attention",
            "_scaled_dot_product_efficient_attention",
            "_scaled_dot_product_cudnn_attention",
            "_scaled_dot_product_fused_attention_overrideable",
        ),
        _attention,
    ),
    "embedding": _looked_up,
    "index": _indexed,
}
"""Rules by the name of an operation in torch's `aten`, without the `_` of those in place."""
