"""Follow where the channels lie in every tensor of a forward pass, operation by operation.

A module's type does not show which axis of its output holds the channels: an activation, a dropout or a container takes
what it gets. So the operations show it. The input is (image, channel, row, column); a convolution puts its
channels second, a matrix product last; everything else passes on, moves, splits or joins the axes that it gets:

    with AxisTracer() as tracer:
        images = tracer.of_images(images)
        output = model(images)
        axes = tracer.axes(output)         # one Axis for each axis of the tensor; None where they are not known
        made_by = tracer.made_by(output)   # numbers of the products with weights that made its channels

Torch dispatches every operation to the tracer below its own composite functions, so that `flatten`, `einops`, `@` and
`torch.einsum` all arrive as views, permutations and products. An operation without a rule gives unknown axes, never
guessed ones.

Sizes of axes are kept as factors: (image, row, column, channel) flattened to (image, row * column, channel) and back
knows its rows again, and heads that are split off the channels remain channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from network_atlas.models.axes.kinds import Axes, Kind, Order, axis, sizes
from network_atlas.models.axes.rules import axes_after
from network_atlas.models.faults import fault

PRODUCTS = ("convolution", "linear", "mm", "bmm", "addmm", "baddbmm", "mv", "addmv")
"""Operations of torch's `aten` that make new channels where one of the factors are weights."""

FOLDED = "such as windows or heads; take the block around it, whose output has one row for each"
"""What the rows are where a network works on parts of an image as if they were images of a batch."""


class AxisTracer(TorchDispatchMode):
    """Records the axes of every tensor that comes from the images while it is entered."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        # Weak, so that activations are freed as without the tracer; by identity, since tensors compare value by value.
        self._axes: Any = WeakTensorKeyDictionary()
        self._made_by: Any = WeakTensorKeyDictionary()
        self._faults: Any = WeakTensorKeyDictionary()
        self._products = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Say that no code is compiled under this tracer, or torch imports its compiler for it: seconds in each run."""
        return False

    def of_images(self, images: Tensor) -> Tensor:
        """Return `images`, (images, channels, rows, columns), as the tensor from which everything is followed."""
        order = (Kind.IMAGE, Kind.CHANNEL, Kind.POSITION, Kind.POSITION)
        self._axes[images] = tuple(axis(size, kind) for size, kind in zip(images.shape, order, strict=True))
        self._made_by[images] = frozenset()
        return images

    def axes(self, tensor: object) -> Axes | None:
        """Return a tensor's axes; None where they are not known, or do not come from the images."""
        known: Axes | None = self._axes.get(tensor) if isinstance(tensor, Tensor) else None
        return known if known is not None and len(known) == _ndim(tensor) else None

    def fault(self, tensor: Tensor) -> str:
        """Return how this package itself failed to follow a tensor's axes; '' where it did not."""
        return str(self._faults.get(tensor, "")) if self.axes(tensor) is None else ""

    def made_by(self, tensor: Tensor) -> frozenset[int]:
        """Return the numbers of the products with weights that made a tensor's channels, several where it is a sum.

        None for the image's own channels, and for products of two activations, such as the maps of attention.
        """
        numbers: frozenset[int] = self._made_by.get(tensor, frozenset())
        return numbers

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one operation and note the axes of what it returns."""
        before = [self.axes(tensor) for tensor in _tensors(args)]  # an operation in place returns its own argument
        made_by = [self._made_by[tensor] for tensor in _tensors(args) if tensor in self._made_by]
        result = func(*args, **(kwargs or {}))
        if made_by:
            numbers = self._numbers_after(func._schema.name, made_by)
            for output in _tensors((result,)):
                self._made_by[output] = numbers
        faults = [self.fault(tensor) for tensor in _tensors(args)]
        if any(known is not None for known in before):
            arguments = _arguments(func, args, kwargs or {})
            for output in (tensor for tensor in _tensors((result,)) if not tensor.is_nested):  # those have no sizes
                try:
                    after = axes_after(func._schema.name, arguments, output, self.axes)
                except Exception as error:  # our own fault: it must not end the model's pass
                    after = None
                    faults.append(fault(error, f"at the operation {func._schema.name}"))
                # A rule may be wrong for an odd use of its operation: then sizes and shape differ.
                if after is not None and sizes(after) == tuple(output.shape):
                    self._axes[output] = after
                # An operation in place that has no rule: the axes from before would be a guess.
                elif output in self._axes:
                    del self._axes[output]
        if any(faults):
            for output in _tensors((result,)):
                self._faults[output] = next(filter(None, faults))
        return result

    def _numbers_after(self, operation: str, inputs: list[frozenset[int]]) -> frozenset[int]:
        if operation.partition("::")[2] not in PRODUCTS:
            return frozenset().union(*inputs)
        if len(inputs) > 1:
            return frozenset()
        self._products += 1
        return frozenset({self._products})


def _ndim(tensor: object) -> int:
    return tensor.ndim if isinstance(tensor, Tensor) else -1


def _tensors(values: object) -> Iterator[Tensor]:
    """Yield the tensors of nested tuples and lists, in order."""
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, tuple | list):
        for value in values:
            yield from _tensors(value)


def _arguments(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return an operation's arguments by their names in torch's schema, defaults included."""
    named: dict[str, Any] = {}
    for index, argument in enumerate(func._schema.arguments):
        if index < len(args):
            named[argument.name] = args[index]
        elif argument.name in kwargs:
            named[argument.name] = kwargs[argument.name]
        elif argument.has_default_value():
            named[argument.name] = argument.default_value
    return named


def image_axis(axes: Axes | None) -> int:
    """Return which axis of a tensor holds the images, if one holds them and nothing else; 0 otherwise."""
    kinds = [{factor.kind for factor in factors} for factors in axes or ()]
    holders = [number for number, held in enumerate(kinds) if Kind.IMAGE in held]
    return holders[0] if len(holders) == 1 and kinds[holders[0]] == {Kind.IMAGE} else 0


def images_first(axes: Axes) -> Axes:
    """Return the axes of a tensor whose images are moved to the front."""
    number = image_axis(axes)
    return (axes[number], *axes[:number], *axes[number + 1 :])


def channel_axis(axes: Axes | None) -> tuple[int, str]:
    """Return which axis holds the channels, and ''; or 0 and the reason why that can't be said.

    `axes` are those of a layer's output, with the images first. An axis that holds channels and nothing else is
    preferred to one that holds positions too (a flattened map), and new channels to former ones.
    """
    if axes is None:
        return 0, "which axis of its output holds the channels can't be told from the operations before it"
    if {factor.kind for factor in axes[0]} != {Kind.IMAGE}:
        holders = [number for number, factors in enumerate(axes) if Kind.IMAGE in {f.kind for f in factors}]
        if holders == [0]:
            return 0, f"its first axis holds several rows for each image, {FOLDED}"
        if any(factor.kind is Kind.PICKED for factors in axes for factor in factors):
            return 0, "its rows are images that were picked by their values, as those that a router sends to an expert"
        if not holders:
            return 0, "which of its axes holds the images can't be told from the operations before it"
        return 0, f"its axis {holders[0]} holds its images together with something else, such as tokens or heads"
    if len(axes) == 2:
        return 1, ""
    return _holder(axes)


def is_raster(axes: Axes) -> bool:
    """Say whether the positions of tokens are those of the image, row by row, behind others that stand in front.

    `axes` are those of tokens without their images and channels.
    """
    held = [(factor.kind, factor.order) for factors in axes for factor in factors]
    return held in ([(Kind.POSITION, Order.RASTER)], [(Kind.POSITION, Order.BEHIND)])


def are_lost(axes: Axes | None) -> bool:
    """Say whether an operation without a rule lost track of a tensor's images, or no axis holds channels."""
    kinds = {factor.kind for factors in axes or () for factor in factors}
    return not kinds & {Kind.IMAGE, Kind.PICKED} or not kinds & {Kind.CHANNEL, Kind.FORMER}


def _holder(axes: Axes) -> tuple[int, str]:
    """Return the axis that holds the channels: channels alone, else former channels alone, else channels and more."""
    kinds = {number: {factor.kind for factor in axes[number]} for number in range(1, len(axes))}
    channels = {Kind.CHANNEL, Kind.FORMER}
    for candidates in (
        [number for number, held in kinds.items() if Kind.CHANNEL in held and held <= channels],
        [number for number, held in kinds.items() if held == {Kind.FORMER}],
        [number for number, held in kinds.items() if held & channels],
    ):
        if len(candidates) == 1:
            return candidates[0], ""
        if candidates:
            spread = f"its channels are spread over axes {' and '.join(map(str, candidates))}, as those of heads are"
            return 0, f"{spread}; take the module around it"
    single = [number for number in range(1, len(axes)) if not axes[number]]  # one channel, in an axis of size 1
    return (single[0], "") if len(single) == 1 else (0, "none of its axes holds channels")
