"""What a model needs done before it runs: weights and images in an order in memory, and images of its own to change."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def to_channels_last(model: nn.Module) -> None:
    """Put the weights of convolutions in the order of memory in which these are fastest.

    Only theirs: other code may rely on the order of its own weights. (`model.to(memory_format=...)` also refuses a
    model that holds three-dimensional convolutions.)
    """
    if _contiguous in model._forward_pre_hooks.values():
        return
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            for weight in module.parameters():  # under a parametrization they have other names, in a module below
                if weight.ndim == 4:
                    weight.data = weight.data.contiguous(memory_format=torch.channels_last)


def keep_contiguous(model: nn.Module) -> None:
    """Let `model` get its images, (batch, channels, rows, columns), contiguous in memory, and its weights as well.

    For models that call `view` on maps, which torch refuses where the channels are last in memory.
    """
    for weight in model.parameters():
        weight.data = weight.data.contiguous()
    if _contiguous not in model._forward_pre_hooks.values():
        model.register_forward_pre_hook(_contiguous)


def _contiguous(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(value.contiguous() for value in inputs)


def keep_images(model: nn.Module) -> None:
    """Let `model` get copies of its images, (batch, channels, rows, columns), for models that change them in place.

    The same images run more than once: compared with themselves, or again where a pass could not run frozen.
    """
    if _copies not in model._forward_pre_hooks.values():
        model.register_forward_pre_hook(_copies)


def _copies(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(value.clone() for value in inputs)
