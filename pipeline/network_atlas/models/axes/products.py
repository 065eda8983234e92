"""Rules for operations that make new channels: products with weights, attention, look-ups of vectors.

`network_atlas.models.axes.rules` has them by name.
"""

from __future__ import annotations

from dataclasses import replace

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
    resized,
)


def channels_second(arguments: Arguments, output: Tensor, known: Known) -> Axes | None:
    """Return the axes after a convolution and its like: channels along axis 1, positions behind."""
    axes = first_argument(arguments, known)
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
            return axis(size, Kind.POSITION, Order.LOST), others  # until what is mixed is added to what it was made of
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


def product(left: str, right: str) -> Rule:
    """Return the rule of a matrix product of two named arguments: (..., rows, inner) and (..., inner, columns).

    A product with weights makes new channels. A product of two activations, as in attention, takes its rows' axis from
    the one and its columns' axis from the other.
    """

    def rule(arguments: Arguments, output: Tensor, known: Known) -> Axes | None:
        first, second = known(arguments[left]), known(arguments[right])
        if first is not None and second is not None:
            outer = merged([first[:-2], second[:-2]], output.shape[:-2])
            return (*outer, _asked(first[-2], second[-1]), second[-1])
        if first is not None:
            made, others = _made(first[-1], first[:-1], output.shape[-1])
            return (*others, made)
        if second is not None:  # weights from the left mix what the second holds along its inner axis
            (mixed,) = lost((resized(second[-2], output.shape[-2]),))
            return (*second[:-2], tuple(replace(factor, from_left=True) for factor in mixed), second[-1])
        return None

    return rule


def _asked(rows: Axis, columns: Axis) -> Axis:
    """Return the rows' axis of a product of two activations: of learned queries, positions beside the values' channels.

    Their product with the keys, (queries, positions), cannot be told from channels that weights from the left made of
    others; its product with the values can.
    """
    asked, held = bool(rows) and all(factor.from_left for factor in rows), {factor.kind for factor in columns}
    if not asked or Kind.CHANNEL not in held or any(factor.from_left for factor in columns):
        return rows
    return tuple(Factor(factor.size, Kind.POSITION, order=Order.LOST) for factor in rows)


def linear(arguments: Arguments, output: Tensor, known: Known) -> Axes | None:
    """Return the axes after `linear`: new channels along the last axis."""
    axes = first_argument(arguments, known)
    if axes is None:
        return None
    made, others = _made(axes[-1], axes[:-1], output.shape[-1])
    return (*others, made)


def attention(arguments: Arguments, output: Tensor, known: Known) -> Axes | None:
    """Return the axes of scaled_dot_product_attention: the query's positions, the value's features.

    Learned queries are the same for all images; theirs are positions that the values' images and heads stand before.
    """
    query, value = known(arguments["query"]), known(arguments["value"])
    if value is None or len(value) != output.ndim:
        return None  # also for further outputs, such as the sums that the backward pass needs
    if query is None:
        query = (*value[:-2], axis(output.shape[-2], Kind.POSITION, Order.LOST), ())
    return (*query[:-1], value[-1])


def looked_up(arguments: Arguments, output: Tensor, known: Known) -> Axes | None:
    """Return the axes after a look-up of vectors by the numbers in a tensor."""
    axes = known(arguments["indices"])
    if axes is None:
        return None
    return (*_changed(axes, Kind.CHANNEL, Kind.FORMER), axis(output.shape[-1], Kind.CHANNEL))
