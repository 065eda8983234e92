"""Say which layers have channels of their own, and which only pass on or rescale those of others.

"Every channel of every layer" means the layers that make channels: those with weights that mix channels (convolutions
of any kind, linear, attention and recurrent layers), the blocks built from several of them, whose outputs add, join or
gate theirs, the first layer behind a product with weights that no such layer has, and the model's output.
A convolution that only a batch normalization reads is one layer with it: its channels are those behind the
normalization, as the network uses them (a negative scale turns a channel into its opposite). Other normalizations,
activations, pooling, dropout and reshapes are left out: each of their channels is one of the layer before, rescaled,
clipped or gathered. So are modules that hold a single such layer, and all but one of those that return the very same
tensor.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from network_atlas.layers import OUTPUT, Repeat
from network_atlas.models.capture import FIRST_OF_SEVERAL
from network_atlas.models.seen import Seen

NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
"""Their weights may have several axes and still mix nothing."""
BEFORE = Repeat("the channels of the layer before")
"""Of a layer behind a sum of others, such as the activation that ends a residual block."""


def repeats(layers: Sequence[Seen]) -> dict[str, Repeat]:
    """Return the layers that have no channels of their own, each with those that it has: 'the channels of conv1'.

    `layers` are those that can be captured: what a module holds beside them is its own.
    """
    norms = _norms(layers)
    captured: defaultdict[nn.Module, list[Seen]] = defaultdict(list)
    for entry in layers:
        captured[entry.module].append(entry)
    shown = frozenset().union(*(entry.made_by for entry in layers if entry.name != OUTPUT and _mixes(entry.module)))
    reasons = {entry.name: reason for entry in layers if (reason := _reason(entry, captured, shown, norms))}
    makers: dict[frozenset[int], str] = {}
    for entry in layers:
        if entry.name not in reasons and (_mixes(entry.module) or entry.name in norms.values()):
            makers[entry.made_by] = entry.name
        elif reasons.get(entry.name) == BEFORE and entry.made_by in makers:
            reasons[entry.name] = _channels_of(makers[entry.made_by])
    for names in _same_tensors(layers).values():
        kept = _kept([entry for entry in layers if entry.name in names and entry.name not in reasons])
        same = Repeat(f"the same tensor as {kept}", kept)
        reasons |= {name: same for name in names if name not in reasons and name != kept}
    return reasons


def _norms(layers: Sequence[Seen]) -> dict[int, str]:
    """Return the names of the layers that return what a normalization behind a convolution does, by its call."""
    behind = {entry.normalized_by for entry in layers if entry.normalized_by}
    names: dict[int, str] = {}
    for entry in layers:
        for call in entry.returns_of & behind:
            names.setdefault(call, entry.name)
    return names


def _reason(
    entry: Seen, captured: Mapping[nn.Module, Sequence[Seen]], shown: frozenset[int], norms: Mapping[int, str]
) -> Repeat | None:
    """Return whose channels a layer has, if it makes none by itself.

    `norms` are the layers behind normalizations that belong to convolutions. `shown` are the products whose channels
    other layers have. A layer without weights is the first to have those of a product that stands in the code of a
    block, or in a module that can't be captured.
    """
    if entry.name == OUTPUT:
        return None
    if entry.normalized_by in norms:
        norm = norms[entry.normalized_by]
        return Repeat(f"the channels of {norm}, before their normalization", norm)
    if entry.name in norms.values():
        return None
    inside = [module for module in entry.module.modules() if _mixes(module)]
    if not inside:
        return BEFORE if entry.made_by <= shown else None
    if len(inside) > 1 or inside[0] is entry.module or inside[0] not in captured:
        return None
    calls = captured[inside[0]]
    if (
        calls[0].calls > 1
    ):  # they may lie beside or behind each other in the layer, or outside: which made its channels?
        calls = [call for call in calls if call.made_by and call.made_by == entry.made_by]
    return _channels_of(norms.get(calls[0].normalized_by, calls[0].name)) if calls else None


def _channels_of(layer: str) -> Repeat:
    return Repeat(f"the channels of {layer}", layer)


def _mixes(module: nn.Module) -> bool:
    """Say whether a module has weights of its own that mix channels: weights of two axes or more."""
    if isinstance(module, FIRST_OF_SEVERAL):
        return True
    if isinstance(module, NORMS):
        return False
    weights = [*module.parameters(recurse=False), getattr(module, "weight", None)]
    return any(isinstance(weight, Tensor) and weight.ndim > 1 for weight in weights)


def _same_tensors(layers: Sequence[Seen]) -> Mapping[str, list[str]]:
    """Return the names of the layers that return one tensor, by the first of them."""
    groups: dict[str, list[str]] = {}
    for entry in layers:
        groups.setdefault(entry.same_as, []).append(entry.name)
    return groups


def _kept(candidates: Sequence[Seen]) -> str:
    """Return which of several layers stands for the tensor that they all return: the output, the inmost block, a layer.

    A sequence is not a block: it is the last of a stage that people know by name, not the stage.
    """
    names = [entry.name for entry in candidates]
    if OUTPUT in names or not names:
        return OUTPUT
    blocks = [entry for entry in candidates if _is_block(entry.module)]
    return blocks[0].name if blocks else names[0]


def _is_block(module: nn.Module) -> bool:
    """Say whether a module is built from layers that make channels, and is more than a sequence of them."""
    holds = any(_mixes(part) for part in module.modules() if part is not module)
    return holds and not _mixes(module) and type(module) is not nn.Sequential
