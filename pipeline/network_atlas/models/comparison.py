"""What a network computes for images, and by how much two ways of computing it differ."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves


def numbers_of(forward: Callable[[Tensor], Any], images: Tensor) -> tuple[list[Tensor], Tensor]:
    """Return the tensors of numbers that `forward` returns, and the gradient of a sum of them at the images.

    `images` and the gradient are (batch, channels, rows, columns).
    """
    images = images.clone().requires_grad_()
    with torch.enable_grad():
        outputs = forward(images)
        tensors = [leaf for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor) and leaf.is_floating_point()]
        total = torch.stack([(tensor * _weights_like(tensor)).sum().float() for tensor in tensors]).sum()
        gradient = torch.autograd.grad(total, images)[0] if total.requires_grad else torch.zeros_like(images)
    return [tensor.detach() for tensor in tensors], gradient


def _weights_like(tensor: Tensor) -> Tensor:
    """Return the same random numbers every time: sums of all classes may have no gradient, as those of a softmax."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(tensor.shape, generator=generator).to(tensor.device, tensor.dtype)


def difference(mine: Tensor, theirs: Tensor) -> float:
    """Return the relative difference by Euclidean norm of what is finite in both; infinite for other shapes."""
    if mine.shape != theirs.shape:
        return float("inf")
    finite = mine.isfinite()
    if not torch.equal(finite, theirs.isfinite()):
        return float("inf")
    mine, theirs = mine[finite].double(), theirs[finite].double()
    size = float(theirs.norm())
    return float((mine - theirs).norm()) / size if size else float(mine.norm())
