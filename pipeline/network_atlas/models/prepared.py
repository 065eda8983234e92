"""A model made ready for a worker: on its device, and in the form that is fastest to read.

What depends on torch's own choice of code stands in this module alone. The model itself is changed, in settings that
its hashes cover: take those before. Nothing of torch is replaced at run time: modules of the model get other settings,
or another module with the same parameters takes their place under the same name.
"""

from __future__ import annotations

import platform
from typing import Protocol

import torch
from torch import Tensor, nn


def on_device(model: nn.Module, device: torch.device) -> nn.Module:
    """Return the model on a worker's device, in the memory order and the code that are fastest there."""
    if device.type == "cpu":
        _prefer_onednn(model)
        _let_norms_be_read(model)
    return model.to(device).to(memory_format=torch.channels_last)


def _prefer_onednn(model: nn.Module) -> None:
    """Keep torch from giving convolutions of single pixels to its BLAS on x86 processors.

    It does so with one thread and fewer than 16 images, and then takes up to twice as long as oneDNN (most of the time
    of many networks). Dilated convolutions it leaves to oneDNN always, and dilating a kernel of one pixel changes
    nothing.
    """
    if not torch.backends.mkldnn.is_available() or platform.machine() not in ("x86_64", "AMD64"):  # type: ignore[no-untyped-call]
        return
    for module in model.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d) and _is_of_one_pixel(module):
            module.dilation = (2,) * len(module.kernel_size)


def _is_of_one_pixel(module: nn.Conv1d | nn.Conv2d) -> bool:
    """Say whether a kernel is of one pixel: by its weights too, as parametrizations and subclasses may have others."""
    weight = getattr(module, "weight", None)
    return set(module.kernel_size) == {1} and isinstance(weight, Tensor) and set(weight.shape[2:]) == {1}


class Reader(Protocol):
    """Makes a normalization's output where it reads the same maps anyway."""

    def normalize(self, norm: ReadableNorm, maps: Tensor) -> Tensor:
        """Return what the normalization returns for `maps`, (batch, channels, rows, columns)."""


class ReadableNorm(nn.BatchNorm2d):
    """A batch normalization that a `reader` may compute; without one it is torch's."""

    reader: Reader | None = None

    @classmethod
    def of(cls, norm: nn.BatchNorm2d) -> ReadableNorm:
        """Return a module that shares everything with `norm`: parameters, buffers, mode, hooks."""
        readable = cls.__new__(cls)
        vars(readable).update(vars(norm))
        return readable

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """Return the normalized maps."""
        if self.reader is None:
            return super().forward(input)
        return self.reader.normalize(self, input)

    def by_torch(self, maps: Tensor) -> Tensor:
        """Return what torch's own normalization returns."""
        return super().forward(maps)


def _let_norms_be_read(model: nn.Module) -> None:
    """Put a `ReadableNorm` in the place of each normalization, under the same name.

    Those of other classes, and those whose `forward` was replaced, do something else and stay.
    """
    replaced: dict[nn.BatchNorm2d, ReadableNorm] = {}  # one that is used in several places stays one
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.BatchNorm2d and "forward" not in vars(child):
                setattr(parent, name, replaced.setdefault(child, ReadableNorm.of(child)))
