"""Measure what a layer's centre position can see: the input pixels that have a gradient.

Measured on the real network rather than computed from kernel sizes, so that any architecture has an answer. Made
images with random signs keep a dead ReLU from hiding a pixel; several of them are joined.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from pipeline.config.schema import InputConfig
from pipeline.errors import ModelError
from pipeline.models.layers import example_input
from pipeline.models.trace import capture
from pipeline.units import LayerSpec

IMAGES = 4


def with_receptive_fields(model: nn.Module, layers: Sequence[LayerSpec], config: InputConfig) -> tuple[LayerSpec, ...]:
    """Return the layers with `receptive_field_px` filled in: one forward pass, one backward pass a layer."""
    images = example_input(config, IMAGES).requires_grad_()
    centres: dict[str, Tensor] = {}

    generator = torch.Generator().manual_seed(0)

    def receive(layer: LayerSpec, maps: Tensor) -> None:
        row, column = layer.centre
        # Random weights: the plain sum over the channels of a layer norm is constant.
        weights = torch.randn(layer.channels, generator=generator)
        centres[layer.name] = (maps[:, :, row, column] * weights).sum()

    with torch.enable_grad(), capture(model, layers, receive) as run:
        run(images)
        if not any(centre.requires_grad for centre in centres.values()) and centres:
            raise ModelError(
                "the model gives no gradients (its forward runs under no_grad, or detaches), so nothing can be "
                "optimized; give one whose forward is differentiable"
            )
        return tuple(replace(layer, receptive_field_px=_side_px(centres[layer.name], images)) for layer in layers)


def _side_px(centre: Tensor, images: Tensor) -> int | None:
    if not centre.requires_grad:
        return None
    (gradient,) = torch.autograd.grad(centre, images, retain_graph=True, materialize_grads=True)
    seen = gradient.ne(0).any(dim=0).any(dim=0)
    rows, columns = seen.any(dim=1).nonzero(), seen.any(dim=0).nonzero()
    if not len(rows):
        return None
    return int(max(rows[-1] - rows[0], columns[-1] - columns[0])) + 1
