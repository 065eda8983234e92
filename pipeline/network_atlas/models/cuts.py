"""Run a model in parts, cut at its layers, and get the gradient of a value at each cut.

Behind a layer, later modules read a copy of its output that starts a new graph. So the gradient of a value stops at
the nearest layers before it: these are its parents, both of them where a shortcut ends. From there it goes on, cut by
cut, to the images: one backward pass in parts.

    with cut_model(model, cuts, layer) as run:
        cut = run(images)                                   # (batch, channels, rows, columns), normalized
        parents = cut.gradients(cut.maps[:, 3, 2, 2].sum()) # {'conv1': (batch, channels, rows, columns)}
        cut.gradient_of_images()                            # of the same value

Nothing is said of layers that torch's autograd does not see through; the model's own numbers are unchanged.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from network_atlas.layers import LayerSpec
from network_atlas.models.capture import as_maps, capture, module_of
from network_atlas.models.distinct import NORMS

SAME_SHARE = 1e-4
"""Relative difference up to which two gradients of one channel are the same but for rounding."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A layer at which a pass is cut: its output as it was computed, and the copy that later modules read."""

    layer: LayerSpec
    computed: Tensor
    read: Tensor


@dataclass(slots=True)
class CutPass:
    """One forward pass that was cut."""

    images: Tensor
    """(batch, channels, height, width); the last parts of the backward pass end here."""
    cuts: dict[str, Cut] = field(default_factory=dict)
    """By name, in order of execution."""
    maps: Tensor = field(default_factory=lambda: torch.empty(0))
    """Those of the layer behind all cuts, (batch, channels, rows, columns)."""

    def gradients(self, total: Tensor) -> dict[str, Tensor]:
        """Return the gradient of a value at the layers just before it, (batch, channels, rows, columns), by name.

        Valid until the next call: further parts of the backward pass add to the same memory.
        """
        self.images.grad = None
        for cut in self.cuts.values():
            cut.read.grad = None
        if total.requires_grad:
            total.backward(retain_graph=True)  # type: ignore[no-untyped-call]
        return {name: as_maps(cut.read.grad, cut.layer) for name, cut in self.cuts.items() if cut.read.grad is not None}

    def read_by(self, name: str) -> Tensor:
        """Return what the modules behind a layer read of it, (batch, channels, rows, columns)."""
        cut = self.cuts[name]
        return as_maps(cut.read.detach(), cut.layer)

    def gradient_of_images(self) -> Tensor:
        """Return the gradient, at the images, of the value that `gradients` was asked for last."""
        for cut in reversed(self.cuts.values()):
            if cut.read.grad is not None and cut.computed.requires_grad:
                # Two cuts may share a part of the graph, as the outputs of one split do.
                cut.computed.backward(cut.read.grad, retain_graph=True)  # type: ignore[no-untyped-call]
        return torch.zeros_like(self.images) if self.images.grad is None else self.images.grad


Run = Callable[[Tensor], CutPass]


@contextlib.contextmanager
def cut_model(
    model: nn.Module, cuts: Sequence[LayerSpec], layer: LayerSpec, *, zero: Collection[str] = ()
) -> Iterator[Run]:
    """Yield a function that runs the model on normalized images up to a layer, and cuts the pass at earlier ones.

    Of the layers `zero`, later modules read zeros.
    """
    current = CutPass(torch.empty(0))

    def receive(spec: LayerSpec, maps: Tensor) -> None:
        if spec.name == layer.name:
            current.maps = maps

    def replace(spec: LayerSpec, output: Tensor) -> Tensor:
        values = torch.zeros_like(output) if spec.name in zero else output.detach()
        cut = Cut(spec, output, values.requires_grad_())
        current.cuts.pop(spec.name, None)
        current.cuts[spec.name] = cut
        return cut.read.clone()  # a later module may change it in place

    def run(images: Tensor) -> CutPass:
        nonlocal current
        current = CutPass(images.detach().clone().requires_grad_())
        with torch.enable_grad():
            whole(current.images)
        return current

    earlier = [spec for spec in cuts if spec.index < layer.index]
    with capture(model, [*earlier, layer], receive, stop=True, replace=replace) as whole:
        yield run


def passing_on(
    model: nn.Module, layers: Sequence[LayerSpec], owners: Mapping[str, str], images: Tensor, last: LayerSpec
) -> list[LayerSpec]:
    """Return the layers at which a pass up to `last` may be cut: those whose channel k is channel k of its owner.

    Normalizations are taken as such. Other layers without channels of their own, such as activations, pooling and
    padding, are tried: the gradient of a sum of channels with other weights must be the same but for these weights.
    """
    tried = [layer for layer in layers if layer.name in owners and layer.index < last.index]
    with cut_model(model, tried, last) as run:
        whole = run(images)
    kept: dict[str, LayerSpec] = {}
    for layer in tried:
        if owners[layer.name] == layer.name or _is_aligned(whole, layer, owners, kept, module_of(model, layer.name)):
            kept[layer.name] = layer
    return list(kept.values())


def _is_aligned(
    whole: CutPass, layer: LayerSpec, owners: Mapping[str, str], kept: Collection[str], module: nn.Module
) -> bool:
    maps = as_maps(whole.cuts[layer.name].computed, layer)
    weights = torch.rand(layer.channels, generator=torch.Generator().manual_seed(0)) + 0.5
    by_channel = weights.to(maps.device, maps.dtype)[None, :, None, None]
    total = (maps * by_channel).sum()
    weighted = {name: gradient.clone() for name, gradient in whole.gradients(total).items() if bool(gradient.any())}
    # What it reads must itself be the owner's channels, in order.
    if not weighted or any(name not in kept or owners[name] != owners[layer.name] for name in weighted):
        return False
    if isinstance(module, NORMS):
        return True
    plain = whole.gradients(maps.sum())
    return all(
        name in plain
        and torch.allclose(
            gradient, plain[name] * by_channel, rtol=SAME_SHARE, atol=SAME_SHARE * float(gradient.abs().max())
        )
        for name, gradient in weighted.items()
    )
