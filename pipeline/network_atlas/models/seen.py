"""Record what the passes of `network_atlas.models.trace` see of each module, and hook the modules to see it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

import torch
from torch import Tensor, nn

from network_atlas.errors import ModelError
from network_atlas.layers import OUTPUT
from network_atlas.models.axes.kinds import Axes
from network_atlas.models.faults import fault

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
    """What it returns, in words, where that holds no single tensor."""
    shape: torch.Size | None = None
    """Of its output for a full batch."""
    shape_of_few: torch.Size | None = None
    dtype: torch.dtype | None = None
    axes: Axes | None = None
    made_by: frozenset[int] = frozenset()
    """Numbers of the products with weights that made its channels."""
    batch_axis: int = 0
    """The axis of its output that holds the images."""
    fault: str = ""
    """How this package itself failed on its output or at an operation before it."""
    same_as: str = ""
    """The first module that returned the very same tensor, if that was another."""
    normalized_by: int = 0
    """Of a convolution's output that a batch normalization alone reads: that normalization's key (`models.frozen`)."""
    normalizes: frozenset[int] = frozenset()
    """Keys of the batch normalizations whose own output it returns."""
    has_gradient: bool = False
    """Whether a gradient leads from its output to the images."""
    values: Tensor | None = None
    values_of_last: Tensor | None = None
    """Those of the batch's last image."""
    varies: bool = False
    """Whether the modules that ran before it, or whether it ran itself, changed from pass to pass."""
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
    calls: tuple[str, ...] = ()
    """Names of the modules in the order in which they finished in the first pass, each as often as it ran."""

    def note_calls(self, called: Sequence[str], seen: Mapping[str, Seen]) -> None:
        """Compare the calls of a pass with those of the first: all that comes behind a difference varies."""
        if not self.calls:
            self.calls = tuple(called)
        pairs = enumerate(zip_longest(self.calls, called))
        differs = next((number for number, (first, now) in pairs if first != now), None)
        if differs is not None:
            for name in (*self.calls[differs:], *called[differs:]):
                seen[name].varies = True


class Stopped(Exception):  # noqa: N818 - a signal, not an error
    """Leaves the forward pass behind the module of interest."""


def unseen(name: str, module: nn.Module) -> Seen:
    """Return the record of a module before the first pass."""
    taken = name == OUTPUT
    return Seen(f"{name} ({type(module).__name__})" if taken else name or OUTPUT, module, taken=taken)


@contextlib.contextmanager
def hooked(seen: dict[str, Seen], receive: Receive) -> Iterator[list[str]]:
    """Hand every module's output to `receive` as long as the context lasts. What it raises is noted as our fault.

    Yields the list of the modules' names, which grows with each call.
    """
    called: list[str] = []

    def hand_over(name: str, module: nn.Module, output: object) -> None:
        called.append(name)
        try:
            receive(name, module, output)
        except (ModelError, Stopped):
            raise
        except Exception as error:
            seen[name].fault = fault(error, f"on what {name} ({type(module).__name__}) returns")

    handles = [
        entry.module.register_forward_hook(lambda module, _, output, name=name: hand_over(name, module, output))
        for name, entry in seen.items()
        if not is_scripted(entry.module)
    ]
    try:
        yield called
    finally:
        for handle in handles:
            handle.remove()


def is_scripted(module: nn.Module) -> bool:
    """Say whether a module was compiled by torch.jit.script, or is inside of one that was: it takes no hooks."""
    scripted = isinstance(module, torch.jit.RecursiveScriptModule)  # type: ignore[attr-defined]
    return scripted and not isinstance(module, torch.jit.TopLevelTracedModule)  # type: ignore[attr-defined]
