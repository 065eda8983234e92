"""Record what the passes of `network_atlas.models.trace` see of each module, and hook the modules to see it.

A module that runs more than once in a forward pass has a record for each of its calls.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

import torch
from torch import Tensor, nn

from network_atlas.errors import ModelError
from network_atlas.layers import OUTPUT, call_name
from network_atlas.models.axes.kinds import Axes
from network_atlas.models.faults import fault

RESERVED = "the name that is reserved for the model's own output"
ANOTHERS = "the name of another module"


@dataclass(slots=True)
class Seen:
    """A module, or one of its calls, as the passes saw it."""

    name: str
    module: nn.Module
    taken: str = ""
    """What has the layer's name already, in words, if anything."""
    number: int = 1
    """Which of the module's calls in a pass this is, counted from 1 in the order in which they finish."""
    calls: int = 0
    """Of the module in one forward pass."""
    unreadable: str = ""
    """Why the values of what it returns can't be read, if they can't."""
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
    """The first layer that returned the very same tensor, if that was another."""
    returns_of: frozenset[int] = frozenset()
    """Numbers of the calls of convolutions and batch normalizations whose own output it returns (`models.frozen`)."""
    normalized_by: int = 0
    """Of a convolution's output that a batch normalization alone reads: the number of that normalization's call."""
    has_gradient: bool = False
    """Whether a gradient leads from its output to the images."""
    values: Tensor | None = None
    values_of_last: Tensor | None = None
    """Those of the batch's last image."""
    lowest: float | None = None
    """The smallest of `values`, for real numbers."""
    varies: bool = False
    """Whether the modules that ran before it, or how often the module ran itself, changed from pass to pass."""
    is_random: bool = False
    """Whether two passes over the same images gave it different values."""
    depends_on_others: bool = False
    """Whether an image's values changed with its place in the batch and the other images."""
    end_seconds: float = 0.0

    @property
    def has_weights(self) -> bool:
        """Say whether the module has weights of its own, not only in modules inside of it."""
        return next(self.module.parameters(recurse=False), None) is not None


Receive = Callable[[Seen, object], None]
"""Takes a record, and what the module returned in the call that it stands for."""
Call = tuple[nn.Module, int]
"""A module and the number of its call in a pass, counted from 1."""


@dataclass(slots=True)
class Trace:
    """All modules that ran, each as often as it ran, and how long a pass of a full batch took."""

    order: list[Seen] = field(default_factory=list)
    not_called: list[Seen] = field(default_factory=list)
    """Modules with weights of their own of which no call was seen."""
    total_seconds: float = 0.0
    calls: tuple[Call, ...] = ()
    """Of all modules, in the order in which they finished in the first pass."""

    def note_calls(self, called: Sequence[Call], seen: Sequence[Seen]) -> None:
        """Compare the calls of a pass with those of the first: all that comes behind a difference varies.

        So do all calls of a module that runs another number of times, as in a loop that ends when it has converged.
        """
        if not self.calls:
            self.calls = tuple(called)
        pairs = enumerate(zip_longest(self.calls, called))
        differs = next((number for number, (first, now) in pairs if first != now), None)
        if differs is None:
            return
        behind = {*self.calls[differs:], *called[differs:]}
        first_times, times = (Counter(module for module, _ in calls) for calls in (self.calls, called))
        for entry in seen:
            is_behind = (entry.module, entry.number) in behind
            entry.varies |= is_behind or times[entry.module] != first_times[entry.module]


class Stopped(Exception):  # noqa: N818 - a signal, not an error
    """Leaves the forward pass behind the module of interest."""


def unseen(model: nn.Module, called: Sequence[Call] = ()) -> list[Seen]:
    """Return the records of all modules before the first pass: one for each call where one of `called` is a second.

    The model's own output is its last call.
    """
    times = Counter(module for module, _ in called)
    modules = dict(model.named_modules())
    return [entry for name, module in modules.items() for entry in _records(name, module, times[module], set(modules))]


def _records(name: str, module: nn.Module, calls: int, names: set[str]) -> list[Seen]:
    if not name:
        return [Seen(OUTPUT, module, number=max(calls, 1), calls=calls)]
    if calls < 2:
        return [_record(name, module, 1, calls, RESERVED if name == OUTPUT else "")]
    layers = ((call_name(name, number), number) for number in range(1, calls + 1))
    return [_record(layer, module, number, calls, ANOTHERS if layer in names else "") for layer, number in layers]


def _record(name: str, module: nn.Module, number: int, calls: int, taken: str) -> Seen:
    shown = f"{name} ({type(module).__name__})" if taken else name
    return Seen(shown, module, taken=taken, number=number, calls=calls)


@contextlib.contextmanager
def hooked(seen: Sequence[Seen], receive: Receive) -> Iterator[list[Call]]:
    """Hand every module's output to `receive` in one forward pass. What it raises is noted as our fault.

    Yields the list of calls, which grows with each. Calls without a record are only listed.
    """
    called: list[Call] = []
    times: Counter[nn.Module] = Counter()
    records = {(entry.module, entry.number): entry for entry in seen}

    def hand_over(module: nn.Module, inputs: object, output: object) -> None:
        times[module] += 1
        call = module, times[module]
        called.append(call)
        entry = records.get(call)
        if entry is None:
            return
        try:
            receive(entry, output)
        except (ModelError, Stopped):
            raise
        except Exception as error:
            entry.fault = fault(error, f"on what {entry.name} ({type(module).__name__}) returns")

    modules = dict.fromkeys(entry.module for entry in seen)
    handles = [module.register_forward_hook(hand_over) for module in modules if not is_scripted(module)]
    try:
        yield called
    finally:
        for handle in handles:
            handle.remove()


def is_scripted(module: nn.Module) -> bool:
    """Say whether a module was compiled by torch.jit.script, or is inside of one that was: it takes no hooks."""
    scripted = isinstance(module, torch.jit.RecursiveScriptModule)  # type: ignore[attr-defined]
    return scripted and not isinstance(module, torch.jit.TopLevelTracedModule)  # type: ignore[attr-defined]
