"""Rules for the axes of a tensor after each of torch's operations. See `network_atlas.models.axes.tracer`.

Three general rules cover most operations: of the same shape (all that works on single values), of as many axes
(pooling, padding, slices), and with axes taken out (means, selections). Those that move, split, join or make axes have
rules of their own, by name in `RULES`: `moves` and `products` hold them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from network_atlas.models.axes import moves, products
from network_atlas.models.axes.kinds import Arguments, Axes, Known, Rule, lost, merged, of_same_rank


def axes_after(operation: str, arguments: Arguments, output: Tensor, known: Known) -> Axes | None:
    """Return the axes of an output of an operation, named as in torch's schema; None where no rule applies."""
    # `relu_` works in place and `view_copy` is functionalized; both do to the axes what the plain operation does.
    name = operation.partition("::")[2].removesuffix("_copy").removesuffix("_")
    rule = RULES.get(name)
    after = rule(arguments, output, known) if rule is not None else _by_general_rules(arguments, output, known)
    return lost(after) if after is not None and name in REORDERING else after


def _by_general_rules(arguments: Arguments, output: Tensor, known: Known) -> Axes | None:
    tensors = [tensor for value in arguments.values() for tensor in _listed(value)]
    first = next((tensor for tensor in tensors if known(tensor) is not None), None)
    if first is None:
        return None
    axes = known(first)
    assert axes is not None
    return (
        # The strictest first: a mean with `keepdim` has as many axes as before, and none is taken out.
        _of_same_shape(tensors, output, known)
        or of_same_rank(axes, output.shape)
        or _taken_out(axes, arguments.get("dim"), output)
    )


def _listed(value: object) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    return [item for item in value if isinstance(item, Tensor)] if isinstance(value, tuple | list) else []


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


def _taken_out(axes: Axes, dim: object, output: Tensor) -> Axes | None:
    """Return the axes after an operation that takes out those named by its argument `dim`."""
    dims = {number % len(axes) for number in ([dim] if isinstance(dim, int) else dim or ())}  # type: ignore[attr-defined]
    left = tuple(factors for number, factors in enumerate(axes) if number not in dims)
    return left if dims and len(left) == output.ndim else None


REORDERING = frozenset({"roll", "flip", "index", "index_select", "gather", "scatter", "sort", "topk", "rot90"})
"""Operations after which a position's number no longer says its place."""
RULES: dict[str, Rule] = {
    **dict.fromkeys(("view", "_unsafe_view", "reshape", "_reshape_alias"), moves.viewed),
    "permute": moves.permuted(lambda arguments, rank: [number % rank for number in arguments["dims"]]),
    "transpose": moves.permuted(moves.transposed_order),
    "t": moves.permuted(lambda _, rank: list(range(rank))[::-1]),
    "unsqueeze": moves.unsqueezed,
    "squeeze": moves.squeezed,
    "expand": moves.expanded,
    "cat": moves.concatenated,
    "stack": moves.stacked,
    "slice": moves.sliced,
    "unfold": moves.unfolded,
    **dict.fromkeys(("convolution", "im2col", "col2im", "pixel_shuffle", "pixel_unshuffle"), products.channels_second),
    "linear": products.linear,
    "mm": products.product("self", "mat2"),
    "bmm": products.product("self", "mat2"),
    "addmm": products.product("mat1", "mat2"),
    "baddbmm": products.product("batch1", "batch2"),
    **dict.fromkeys(
        (
            "_scaled_dot_product_flash_attention_for_cpu",
            "_scaled_dot_product_flash_attention",
            "_scaled_dot_product_efficient_attention",
            "_scaled_dot_product_cudnn_attention",
            "_scaled_dot_product_fused_attention_overrideable",
        ),
        products.attention,
    ),
    "embedding": products.looked_up,
    "index": moves.indexed,
    **dict.fromkeys(("index_select", "gather"), moves.selected),
    "nonzero": moves.found,
}
"""Rules by the name of an operation in torch's `aten`, without the `_` of those in place."""
