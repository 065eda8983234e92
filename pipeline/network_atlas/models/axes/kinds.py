"""What the axes of a tensor count: kinds, factors, and how the axes of several tensors are joined."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum, IntEnum, auto
from typing import Any

from torch import Tensor


class Kind(Enum):
    """What the indices of an axis count."""

    IMAGE = auto()
    CHANNEL = auto()
    FORMER = auto()
    """Channels that a later product left alone: the features of the tokens while a mixer mixes the tokens."""
    POSITION = auto()
    PICKED = auto()
    """Images that were picked by their values, as those that a router sends to one of several experts."""
    UNKNOWN = auto()


class Order(IntEnum):
    """How positions lie along a factor."""

    LINE = 0
    """Along one side of the image, or unknown."""
    RASTER = 1
    """Row by row over the whole image: the patches of a vision transformer."""
    BEHIND = 2
    """Row by row behind other tokens, such as a class token; or what is left after some of those were taken off."""
    LOST = 3
    """Another order, as of windows or learned queries: a position's number does not say its place."""


@dataclass(frozen=True, slots=True)
class Factor:
    """A part of an axis: its size, and what it counts."""

    size: int
    kind: Kind
    positions: int = 0
    """Of channels that a product made of positions (a mixer's hidden units): how many positions there were."""
    order: Order = Order.LINE
    """Of positions."""
    before: int = 0
    """Of positions in the order BEHIND: how many others stand in front; 0 where that is not known."""
    from_left: bool = False
    """Of channels that weights from the left made of others: they may be learned queries, which keys were asked for."""


Axis = tuple[Factor, ...]
"""The factors of one axis, slowest first, neighbours of different kinds; none for an axis of size 1."""
Axes = tuple[Axis, ...]
Known = Callable[[object], Axes | None]
"""Returns the axes of a tensor that comes from the images, None for any other value."""
Arguments = dict[str, Any]
Rule = Callable[[Arguments, Tensor, Known], Axes | None]
"""From an operation's arguments and its output, of any shape, to the axes of that output."""


def axis(size: int, kind: Kind, order: Order = Order.LINE) -> Axis:
    """Return an axis of one kind."""
    # An axis of size 1 counts nothing, so that adding, removing and broadcasting it needs no bookkeeping.
    return (Factor(size, kind, order=order),) if size != 1 else ()


def lost(axes: Axes) -> Axes:
    """Return axes whose positions lie in another order than before."""
    return tuple(
        tuple(replace(factor, order=Order.LOST) if factor.kind is Kind.POSITION else factor for factor in factors)
        for factors in axes
    )


def sizes(axes: Axes) -> tuple[int, ...]:
    """Return the shape of a tensor with these axes."""
    return tuple(math.prod(factor.size for factor in factors) for factors in axes)


def resized(factors: Axis, size: int) -> Axis:
    if math.prod(factor.size for factor in factors) == size:
        return factors
    kinds = {factor.kind for factor in factors}
    # A side of the image keeps its order when it is pooled; rows that lie one behind the other do not.
    order = Order.LINE if all(factor.order is Order.LINE for factor in factors) else Order.LOST
    return axis(size, kinds.pop() if len(kinds) == 1 else Kind.UNKNOWN, order)


def of_same_rank(axes: Axes, shape: Sequence[int]) -> Axes | None:
    """Return the axes after an operation that changes sizes at most: an axis counts what it counted before."""
    if len(axes) != len(shape):
        return None
    return tuple(resized(factors, size) for factors, size in zip(axes, shape, strict=True))


def merged(several: Sequence[Axes], shape: Sequence[int]) -> Axes:
    """Return the axes of tensors that are broadcast against each other to `shape`.

    Where one counts positions and another channels, as in the sum of a mixer's tokens and what it made of them, an axis
    holds the channels on which all agree; the others are positions.
    """
    result: list[Axis] = []
    agreed = False
    contested: list[int] = []
    for number, size in enumerate(shape):
        from_end = len(shape) - number
        parts = [axes[-from_end] for axes in several if len(axes) >= from_end and axes[-from_end]]
        factors = _merged_axis(parts, size)
        kinds = [{factor.kind for factor in part} for part in parts]
        if {Kind.CHANNEL} in kinds and {Kind.POSITION} in kinds:
            contested.append(number)
        elif factors and {factor.kind for factor in factors} == {Kind.CHANNEL}:
            agreed = True
        result.append(factors)
    for number in contested:
        # Known only now: whether some other axis holds the channels on which all agree.
        order = _order(factor for axes in several for factors in axes for factor in factors)
        result[number] = axis(shape[number], Kind.POSITION, order) if agreed else axis(shape[number], Kind.CHANNEL)
    return tuple(result)


ORDER = (Kind.IMAGE, Kind.CHANNEL, Kind.POSITION, Kind.FORMER, Kind.PICKED, Kind.UNKNOWN)
"""Of two kinds for one factor, the earlier one holds."""


def _merged_axis(parts: Sequence[Axis], size: int) -> Axis:
    """Return one axis for several of the same size, which may be split into factors differently."""
    if not parts:
        return axis(size, Kind.UNKNOWN)
    result = parts[0]
    for part in parts[1:]:
        # Factors that do not fit each other: the first tensor's are as good as any.
        result = _both(result, part) or result
    return result


def _both(first: Axis, second: Axis) -> Axis | None:
    """Return the common factors of an axis that is known twice; None where their sizes don't fit each other."""
    left, right = list(first), list(second)
    common: list[Factor] = []
    while left and right:
        size = min(left[0].size, right[0].size)
        kind = min(left[0].kind, right[0].kind, key=ORDER.index)
        positions = max(left[0].positions, right[0].positions) if kind is Kind.CHANNEL else 0
        order = _order((left[0], right[0]))
        before = max(left[0].before, right[0].before) if order is Order.BEHIND else 0
        for side in (left, right):
            rest, over = divmod(side[0].size, size)
            if over:
                return None
            side[:1] = [replace(side[0], size=rest)] if rest > 1 else []
        common.append(Factor(size, kind, positions, order, before))
    return joined(common) if not left and not right else None


def _order(factors: Iterable[Factor]) -> Order:
    """Return the order of positions that are known several times: what is added to a raster lies as it does."""
    orders = {factor.order for factor in factors if factor.kind is Kind.POSITION}
    return next((order for order in (Order.BEHIND, Order.RASTER) if order in orders), max(orders, default=Order.LINE))


def joined(factors: Iterable[Factor]) -> Axis:
    """Return factors with neighbours of one kind made one."""
    result: list[Factor] = []
    for factor in factors:
        if result and (result[-1].kind, result[-1].positions) == (factor.kind, factor.positions):
            order = max(Order.RASTER, result[-1].order, factor.order) if factor.kind is Kind.POSITION else Order.LINE
            result[-1] = replace(factor, size=result[-1].size * factor.size, order=order)
        else:
            result.append(factor)
    return tuple(result)


def first_argument(arguments: Arguments, known: Known) -> Axes | None:
    """Return the axes of an operation's first argument."""
    return known(next(iter(arguments.values())))
