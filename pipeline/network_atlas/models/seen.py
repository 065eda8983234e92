"""Record what the passes of `network_atlas.models.trace` see of each module, and hook the modules to see it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from network_atlas.layers import OUTPUT
from network_atlas.models.axes.kinds import Axes

Receive = Callable[[str, nn.Module, object], None]


@dataclass(slots=True)
class Seen:
    """A module as the passes saw it."""

    name: str
    module: nn.Module
    taken: bool = False
    """Whether the module has the name that is reserved for the model's own output."""
    calls: int = 0
    """In one forward pass."""
    returns: str = ""
    """The type of what it returns, where that holds no single tensor."""
    shape: torch.Size | None = None
    """Of its output for a full batch."""
    shape_of_few: torch.Size | None = None
    dtype: torch.dtype | None = None
    axes: Axes | None = None
    made_by: frozenset[int] = frozenset()
    """Numbers of the products with weights that made its channels."""
    same_as: str = ""
    """The first module that returned the very same tensor, if that was another."""
    has_gradient: bool = False
    """Whether a gradient leads from its output to the images."""
    values: Tensor | None = None
    values_of_last: Tensor | None = None
    """Those of the batch's last image."""
    is_random: bool = False
    """Whether two passes over the same images gave it different values."""
    depends_on_others: bool = False
    """Whether an image's values changed with its place in the batch and the other images."""
    end_seconds: float = 0.0

    @property
    def has_weights(self) -> bool:
        """Say whether the module has weights of its own, not only in modules inside of it."""
        return next(self.module.parameters(recurse=False), None) is not None


@dataclass(slots=True)
class Trace:
    """All modules that ran, and how long a pass of a full batch took."""

    order: list[Seen] = field(default_factory=list)
    not_called: list[Seen] = field(default_factory=list)
    """Modules with weights of their own of which no call was seen."""
    total_seconds: float = 0.0


def unseen(name: str, module: nn.Module) -> Seen:
    """Return the record of a module before the first pass."""
    taken = name == OUTPUT
    return Seen(f"{name} ({type(module).__name__})" if taken else name or OUTPUT, module, taken=taken)


@contextlib.contextmanager
def hooked(seen: dict[str, Seen], receive: Receive) -> Iterator[None]:
    """Hand every module's output to `receive` as long as the context lasts."""
    handles = [
        entry.module.register_forward_hook(lambda module, _, output, name=name: receive(name, module, output))
        for name, entry in seen.items()
        if not is_scripted(entry.module)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def is_scripted(module: nn.Module) -> bool:
    """Say whether a module was compiled by torch.jit.script, or is inside of one that was: it takes no hooks."""
    scripted = isinstance(module, torch.jit.RecursiveScriptModule)  # type: ignore[attr-defined]
    return scripted and not isinstance(module, torch.jit.TopLevelTracedModule)  # type: ignore[attr-defined]
