"""Run a model on generated images and record what each of its modules returns.

    trace = traced(model, config)
    for seen in trace.order: ...          # the modules in the order in which they finish

Four kinds of passes, since no single one shows everything: one of two images that follows the axes and the gradients,
three of a full batch whose values are compared, a third kind that is timed, and, where the backward pass fails, one for
each module, to find those from which a gradient does reach the images.
"""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

import torch
from torch import Tensor, nn

from network_atlas.config.schema import InputConfig
from network_atlas.errors import ModelError
from network_atlas.layers import OUTPUT
from network_atlas.models.axes.kinds import Axes
from network_atlas.models.axes.tracer import AxisTracer, image_axis
from network_atlas.models.batches import changed_companions
from network_atlas.models.capture import tensor_of
from network_atlas.models.faults import fault
from network_atlas.models.first_pass import BATCH, CHECKPOINT, example_input, failures_named
from network_atlas.models.outputs import described_output
from network_atlas.models.prepared import to_channels_last

FEW = 2
"""Images of the pass that follows axes. Not `BATCH`: an output has one row per image only if it has in both."""
TIMED_CONTRASTS = (1.0, 3.0, 0.1)
"""Of the images of the timed passes, of which the fastest counts: the others were disturbed. A network that leaves
early where it is sure of its answer is likely to run other modules for one of these."""
COMPARED = 4096
"""Values of an output that are compared between two passes."""
SAME = 1e-5
"""Two passes over one batch agree to this part of an output's largest value: they run the same code."""
ALIKE = 1e-3
"""The same for an image among other images, where libraries may round differently."""

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


def traced(model: nn.Module, config: InputConfig) -> Trace:
    """Return what every module of `model` returns. Raises ModelError, with the reason, when the model can't run."""
    seen = {entry.name: entry for name, module in model.named_modules() for entry in [_unseen(name, module)]}
    trace = Trace()
    with failures_named(config):
        images = example_input(config).contiguous(memory_format=torch.channels_last)
        to_channels_last(model)  # as workers run it, so that the measured time is theirs
        _follow(model, example_input(config, FEW), seen)  # first: comparing needs the axis that holds the images
        with torch.no_grad():  # not inference_mode, whose tensors a model that keeps them can't use with gradients
            _compare_values(model, images, seen, trace)
            _time(model, images, seen, trace)
    _check_modules(model, seen)
    trace.not_called = [entry for entry in seen.values() if not entry.calls and _has_weights(entry.module)]
    return trace


def _has_weights(module: nn.Module) -> bool:
    return next(module.parameters(recurse=False), None) is not None


def _check_modules(model: nn.Module, seen: dict[str, Seen]) -> None:
    """Raise ModelError when passes put other modules into the model."""
    known = {entry.module for entry in seen.values()}
    built = [name for name, module in model.named_modules() if module not in known]
    if built:
        raise ModelError(
            f"the model's forward builds the module {built[0]!r} again in each pass, with other weights; "
            "build modules in __init__"
        )


def _unseen(name: str, module: nn.Module) -> Seen:
    taken = name == OUTPUT
    return Seen(f"{name} ({type(module).__name__})" if taken else name or OUTPUT, module, taken=taken)


@contextlib.contextmanager
def _hooked(model: nn.Module, seen: dict[str, Seen], receive: Receive) -> Iterator[list[str]]:
    """Hand every module's output to `receive` as long as the context lasts. What it raises is noted as our fault.

    Yields the list of the modules' names, which grows with each call.
    """
    called: list[str] = []

    def hand_over(name: str, module: nn.Module, output: object) -> None:
        called.append(name)
        try:
            receive(name, module, output)
        except (ModelError, _Stopped):
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


def _compare_values(model: nn.Module, images: Tensor, seen: dict[str, Seen], trace: Trace) -> None:
    """Fill in what the modules return, and whether they return the same again, and for an image among others."""

    def first(name: str, module: nn.Module, output: object) -> None:
        entry = seen[name]
        entry.calls += 1
        if entry.calls == 1:
            trace.order.append(entry)
        tensor = tensor_of(module, output)
        if tensor is None:
            entry.returns = described_output(output)
        else:
            entry.shape, entry.dtype, entry.values = tensor.shape, tensor.dtype, _some_values(tensor)
            has_images = tensor.ndim > entry.batch_axis and tensor.shape[entry.batch_axis] == BATCH
            entry.values_of_last = _some_values(tensor.select(entry.batch_axis, -1)) if has_images else None

    def again(name: str, module: nn.Module, output: object) -> None:
        entry, tensor = seen[name], tensor_of(module, output)
        if tensor is not None and entry.values is not None and entry.calls == 1:
            entry.is_random = _differ(entry.values, _some_values(tensor), SAME)
        entry.values = None

    def among_others(name: str, module: nn.Module, output: object) -> None:
        entry, tensor = seen[name], tensor_of(module, output)
        if tensor is not None and entry.values_of_last is not None and entry.calls == 1 and tensor.shape == entry.shape:
            entry.depends_on_others = _differ(
                entry.values_of_last, _some_values(tensor.select(entry.batch_axis, 0)), ALIKE
            )
        entry.values_of_last = None

    for receive, batch in ((first, images), (again, images), (among_others, changed_companions(images))):
        with _hooked(model, seen, receive) as called:
            model(batch)
        trace.note_calls(called, seen)


def _some_values(tensor: Tensor) -> Tensor:
    """Return values from all over a tensor, as a copy: later modules may overwrite it."""
    flat = tensor.flatten()
    return flat[:: max(1, len(flat) // COMPARED)].clone()


def _differ(first: Tensor, second: Tensor, part: float) -> bool:
    """Say whether values differ by more than a part of the largest."""
    if first.shape != second.shape:
        return True
    if not first.is_floating_point():
        return not torch.equal(first, second)
    first, second = first.nan_to_num(), second.nan_to_num()
    return bool((first - second).abs().amax() > part * first.abs().amax()) if len(first) else False


def _time(model: nn.Module, images: Tensor, seen: dict[str, Seen], trace: Trace) -> None:
    """Fill in when each module was done, in the fastest of several passes."""
    trace.total_seconds = float("inf")
    for contrast in TIMED_CONTRASTS:
        batch = images * contrast
        ends: dict[str, float] = {}
        start = time.perf_counter()

        def note(
            name: str, module: nn.Module, output: object, start: float = start, ends: dict[str, float] = ends
        ) -> None:
            ends[name] = time.perf_counter() - start

        with _hooked(model, seen, note) as called:
            model(batch)
        total = time.perf_counter() - start
        trace.note_calls(called, seen)
        if total < trace.total_seconds:
            trace.total_seconds = total
            for name, seconds in ends.items():
                seen[name].end_seconds = seconds


def _follow(model: nn.Module, images: Tensor, seen: dict[str, Seen]) -> None:
    """Fill in axes, gradients and which modules return the same tensor, by one pass that keeps every output."""
    tracer = AxisTracer()
    first_of: dict[tuple[int, int], str] = {}
    kept: list[Tensor] = []  # a tensor that is freed may give its identity to another
    total = torch.zeros(())

    def receive(name: str, module: nn.Module, output: object) -> None:
        nonlocal total
        tensor = tensor_of(module, output)
        if tensor is None:
            return
        entry = seen[name]
        entry.shape_of_few, entry.axes = tensor.shape, tracer.axes(tensor)
        entry.fault = entry.fault or tracer.fault(tensor)
        entry.batch_axis = image_axis(entry.axes)
        entry.made_by = tracer.made_by(tensor)
        entry.same_as = first_of.setdefault((id(tensor), _version(tensor)), name)
        entry.has_gradient = tensor.requires_grad and tensor.is_floating_point()
        kept.append(tensor)
        if entry.has_gradient:
            total = total + tensor.sum()

    leaf = images.requires_grad_()
    # Hooks on saved tensors run a part of the model again in the backward pass, and would hand over its layers twice.
    no_recomputing = torch.autograd.graph.disable_saved_tensors_hooks(f"its forward uses {CHECKPOINT}")
    with torch.enable_grad(), no_recomputing, _hooked(model, seen, receive), tracer:
        model(tracer.of_images(leaf * 1.0))  # not the leaf itself: a model may change its input in place
    if not total.requires_grad:
        raise ModelError(
            "the model gives no gradients (its forward runs under no_grad, or detaches), so nothing can be optimized; "
            "give one whose forward is differentiable"
        )
    if not _goes_back(total, leaf):
        for entry in seen.values():
            entry.has_gradient = entry.has_gradient and _reaches(model, leaf, entry)


def _version(tensor: Tensor) -> int:
    """Return how often a tensor was changed in place; torch does not count for what comes from its inference mode."""
    return 0 if tensor.is_inference() else tensor._version


class _Stopped(Exception):  # noqa: N818 - a signal, not an error
    """Leaves the forward pass behind the module of interest."""


def _reaches(model: nn.Module, leaf: Tensor, entry: Seen) -> bool:
    """Say whether the backward pass from one module's output works when the forward pass ends there."""
    output: Tensor | None = None

    def receive(name: str, module: nn.Module, value: object) -> None:
        nonlocal output
        output = tensor_of(module, value)
        raise _Stopped

    with torch.enable_grad(), _hooked(model, {entry.name: entry}, receive), contextlib.suppress(_Stopped):
        model(leaf * 1.0)
    return output is not None and _goes_back(output.sum(), leaf)


def _goes_back(value: Tensor, leaf: Tensor) -> bool:
    """Say whether torch can go back from a value to the images."""
    with warnings.catch_warnings():
        # Torch only warns where an operation, such as a quantized one, has no derivative.
        warnings.filterwarnings("error", message=".*autograd kernel was not registered", category=UserWarning)
        try:
            torch.autograd.grad(value, leaf)
        except (RuntimeError, UserWarning) as error:  # a value changed in place, an operation without derivative
            if CHECKPOINT in str(error):
                raise
            return False
    return True
