"""Make a worker's model ready for a processor: everything that depends on torch's own inside is in this module.

Modules are changed or exchanged once, when the model is made ready. Nothing is patched while it runs. The hashes of
layers cover what changes here, so take them before.
"""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

Forward = Callable[[Tensor], Tensor]
Listener = Callable[[Forward, Tensor], Tensor]
"""Gets the module's own forward and its input, (batch, channels, rows, columns); returns what the module returns."""


class ListenedBatchNorm2d(nn.BatchNorm2d):
    """Torch's BatchNorm2d, but while somebody listens, the listener returns its output."""

    listener: Listener | None = None

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name, and callers may give it by name
        """Return the normalized input, (batch, channels, rows, columns)."""
        if self.listener is None:
            return super().forward(input)
        return self.listener(super().forward, input)

    @contextlib.contextmanager
    def listened(self, listener: Listener) -> Iterator[None]:
        """Let `listener` return the module's output until the context ends."""
        self.listener = listener
        try:
            yield
        finally:
            self.listener = None


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


def make_ready(model: nn.Module) -> None:
    """Exchange and set modules of `model` so that it runs fast on a processor, and so that a scan can listen.

    The model's output changes by rounding at most.
    """
    _exchange_norms(model)
    _prefer_onednn(model)


def _exchange_norms(model: nn.Module) -> None:
    """Put a ListenedBatchNorm2d in the place of each of torch's BatchNorm2d, under all of its names.

    Subclasses and modules whose forward was replaced are left as they are: they may compute anything.
    """
    exchanged: dict[nn.Module, nn.Module] = {}  # one module may have several parents
    for parent in list(model.modules()):
        for name, child in list(parent._modules.items()):
            if type(child) is nn.BatchNorm2d and "forward" not in vars(child):
                if child not in exchanged:
                    exchanged[child] = _listened(child)
                setattr(parent, name, exchanged[child])


def _listened(norm: nn.BatchNorm2d) -> ListenedBatchNorm2d:
    """Return a module that shares its whole state with `norm`: weights, buffers, hooks, mode.

    A model may hold the old module outside of its tree too, in a plain list for example. Both then stay the same.
    """
    listened = ListenedBatchNorm2d.__new__(ListenedBatchNorm2d)
    object.__setattr__(listened, "__dict__", vars(norm))
    return listened


def _prefer_onednn(model: nn.Module) -> None:
    """Keep torch from giving convolutions of single pixels to its BLAS on x86 processors.

    It does so with one thread and fewer than 16 images, and then takes up to twice as long as oneDNN (most of the time
    of many networks). It always leaves dilated convolutions to oneDNN, and dilating a kernel of one pixel changes
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
