"""Rules for operations that move, split, join or select axes. `network_atlas.models.axes.rules` has them by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from network_atlas.models.axes.kinds import (
    Arguments,
    Axes,
    Axis,
    Factor,
    Kind,
    Known,
    Order,
    Rule,
    axis,
    first_argument,
    joined,
    lost,
    merged,
    of_same_rank,
    resized,
)


def viewed(arguments: Arguments, output: Tensor, known: Known) -> Axes | None:
    """Return the axes after a view: the same factors in the same order, otherwise grouped."""
    axes = first_argument(arguments, known)
    if axes is None:
        return None
    factors = [factor for factors in axes for factor in factors]
    # Joined only where sizes ask for it: (tokens, tokens) of an attention would lie row by row, as an image does.
    return _regrouped(factors, output.shape) or _regrouped(joined(factors), output.shape)


def _regrouped(factors: Sequence[Factor], shape: Sequence[int]) -> Axes | None:
    """Return the factors as the axes of a shape; None where it divides them otherwise."""
    left, result = list(factors), list[Axis]()
    for size in shape:
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
        # The smaller size must divide the larger: 6 out of (4, 3) would mix what the two factors count.
        part = math.gcd(size, factor.size)
        if part != min(size, factor.size):
            return None
        if factor.size > part:  # the sides of a raster, if it is split at its rows
            factor = replace(factor, order=Order.LOST if factor.order is Order.LOST else Order.LINE)
            left.insert(0, replace(factor, size=factor.size // part))
        taken.append(replace(factor, size=part))
        size //= part
    return joined(taken)


def permuted(order: Callable[[Arguments, int], Sequence[int]]) -> Rule:
    """Return the rule of an operation that moves axes: `order` says from where each of the output's axes comes."""

    def rule(arguments: Arguments, output: Tensor, known: Known) -> Axes | None:
        axes = first_argument(arguments, known)
        if axes is None:
            return None
        numbers = order(arguments, len(axes))
        moved = tuple(axes[number] for number in numbers)
        with_positions = [number for number in numbers if Kind.POSITION in {factor.kind for factor in axes[number]}]
        return moved if with_positions == sorted(with_positions) else lost(moved)

    return rule


def transposed_order(arguments: Arguments, rank: int) -> list[int]:
    """Return from where each axis comes when two of them change places."""
    order = list(range(rank))
    first, second = arguments["dim0"] % rank, arguments["dim1"] % rank
    order[first], order[second] = order[second], order[first]
    return order


def unsqueezed(arguments: Arguments, output: Tensor, known: Known) -> Axes | None:
    """Return the axes with a new one of size 1."""
    axes = first_argument(arguments, known)
    if axes is None:
        return None
    position = arguments["dim"] % output.ndim
    return (*axes[:position], (), *axes[position:])


def squeezed(arguments: Arguments, output: Tensor, known: Known) -> Axes | None:
    """Return the axes without those of size 1."""
    axes = first_argument(arguments, known)
    if axes is None:
        return None
    dim = arguments.get("dim", range(len(axes)))
    dims = {number % len(axes) for number in ([dim] if isinstance(dim, int) else dim)}
    return tuple(factors for number, factors in enumerate(axes) if factors or number not in dims)


def expanded(arguments: Arguments, output: Tensor, known: Known) -> Axes | None:
    """Return the axes after those of size 1 are repeated; new ones come in front."""
    axes = first_argument(arguments, known)
    return merged([axes], output.shape) if axes is not None else None


def concatenated(arguments: Arguments, output: Tensor, known: Known) -> Axes | None:
    """Return the axes after `cat`: those of the parts, and one of the parts' kind where they are set side by side."""
    several = [axes for tensor in arguments["tensors"] if (axes := known(tensor)) is not None]
    several = [axes for axes in several if len(axes) == output.ndim]
    if not several:
        return None
    dim = arguments["dim"] % output.ndim
    kinds = {factor.kind for axes in several for factor in axes[dim]}
    beside = axis(output.shape[dim], kinds.pop() if len(kinds) == 1 else Kind.UNKNOWN, Order.LOST)
    if len(several) == 1 and known(arguments["tensors"][-1]) is several[0] and len(several[0][dim]) == 1:
        (part,) = several[0][dim]  # behind learned tokens
        order = Order.BEHIND if part.order is Order.RASTER else part.order
        before = part.before + output.shape[dim] - part.size
        beside = (replace(part, size=output.shape[dim], order=order, before=before if order is Order.BEHIND else 0),)
    others = [(*axes[:dim], (), *axes[dim + 1 :]) for axes in several]
    rest = merged(others, [1 if number == dim else size for number, size in enumerate(output.shape)])
    return (*rest[:dim], beside, *rest[dim + 1 :])


def sliced(arguments: Arguments, output: Tensor, known: Known) -> Axes | None:
    """Return the axes after a slice. Tokens keep their order where some of those before the patches are taken off."""
    axes = first_argument(arguments, known)
    after = of_same_rank(axes, output.shape) if axes is not None else None
    if axes is None or after is None:
        return after
    dim = arguments["dim"] % output.ndim
    size, start = math.prod(factor.size for factor in axes[dim]), arguments["start"] or 0
    start %= size
    takes_rest = arguments["step"] == 1 and start + output.shape[dim] == size
    # Without its first patches the rest is no grid over the image, though it may have the size of one.
    if not start or not takes_rest or len(axes[dim]) != 1 or start > axes[dim][0].before:
        return after
    (factor,) = axes[dim]
    rest = replace(factor, size=output.shape[dim], before=factor.before - start)
    return (*after[:dim], (rest,) if rest.size > 1 else (), *after[dim + 1 :])


def stacked(arguments: Arguments, output: Tensor, known: Known) -> Axes | None:
    """Return the axes after `stack`: those of the parts, and a new one that counts the parts."""
    several = [axes for tensor in arguments["tensors"] if (axes := known(tensor)) is not None]
    if not several:
        return None
    dim = arguments["dim"] % output.ndim
    rest = merged(several, [size for number, size in enumerate(output.shape) if number != dim])
    return (*rest[:dim], axis(output.shape[dim], Kind.UNKNOWN), *rest[dim:])


def unfolded(arguments: Arguments, output: Tensor, known: Known) -> Axes | None:
    """Return the axes after `Tensor.unfold`, which puts the insides of its windows last."""
    axes = first_argument(arguments, known)
    if axes is None:
        return None
    windows = of_same_rank(axes, output.shape[:-1])
    inside = axes[arguments["dimension"] % len(axes)]
    return (*windows, resized(inside, output.shape[-1])) if windows is not None else None


def indexed(arguments: Arguments, output: Tensor, known: Known) -> Axes | None:
    """Return the axes after indexing with tensors: known where one tensor of one axis picks along one axis."""
    # Several index tensors, or one of more axes, move or make axes in ways that depend on where they stand.
    picks = [(dim, index) for dim, index in enumerate(arguments["indices"]) if index is not None]
    return _picked(arguments, *picks[0], output, known) if len(picks) == 1 and picks[0][1].ndim == 1 else None


def selected(arguments: Arguments, output: Tensor, known: Known) -> Axes | None:
    """Return the axes after `index_select` and `gather`, which pick along the axis `dim`."""
    return _picked(arguments, arguments["dim"] % output.ndim, arguments["index"], output, known)


def _picked(arguments: Arguments, dim: int, index: Tensor, output: Tensor, known: Known) -> Axes | None:
    """Return the axes after `index` picked along an axis. Of images that values pick, nobody can say which they are."""
    axes = known(arguments["self"])
    after = of_same_rank(axes, output.shape) if axes is not None else None
    by_values = index.dtype == torch.bool or known(index) is not None
    if axes is None or after is None or not by_values or Kind.IMAGE not in {factor.kind for factor in axes[dim]}:
        return after
    return (*after[:dim], (Factor(output.shape[dim], Kind.PICKED),), *after[dim + 1 :])


def found(arguments: Arguments, output: Tensor, known: Known) -> Axes | None:
    """Return the axes of the indices of values that are not zero, (values, axes)."""
    picked = (Factor(output.shape[0], Kind.PICKED),)
    return (picked, axis(output.shape[1], Kind.UNKNOWN)) if first_argument(arguments, known) is not None else None
