"""Run a model on generated images and record what each of its modules returns, in each of its calls.

    trace = traced(model, config)
    for seen in trace.order: ...          # the modules, or their calls, in the order in which they finish

A first pass counts the calls of each module. Then there are four kinds of passes, since no single one shows everything:
one of two images that follows the axes and the gradients, three of a full batch whose values are compared, a third kind
that is timed, and, where the backward pass fails, one for each layer, to find those from which a gradient does reach
the images.
"""

from __future__ import annotations

import contextlib
import logging
import time
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from network_atlas.config.schema import InputConfig
from network_atlas.errors import ModelError
from network_atlas.models.axes.tracer import AxisTracer, image_axis
from network_atlas.models.batches import changed_companions
from network_atlas.models.capture import tensor_of
from network_atlas.models.first_pass import BATCH, CHECKPOINT, example_input, failures_named
from network_atlas.models.frozen.recording import recorded
from network_atlas.models.outputs import described_output, unreadable
from network_atlas.models.prepared import to_channels_last
from network_atlas.models.seen import Seen, Stopped, Trace, hooked, unseen

log = logging.getLogger(__name__)

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


def traced(model: nn.Module, config: InputConfig) -> Trace:
    """Return what every module of `model` returns. Raises ModelError, with the reason, when the model can't run."""
    trace = Trace()
    with failures_named(config):
        images = example_input(config).contiguous(memory_format=torch.channels_last)
        to_channels_last(model)  # as workers run it, so that the measured time is theirs
        seen = _counted(model, images, trace)
        _follow(model, example_input(config, FEW), seen)  # first: comparing needs the axis that holds the images
        with torch.no_grad():  # not inference_mode, whose tensors a model that keeps them can't use with gradients
            _compare_values(model, images, seen, trace)
            _time(model, images, seen, trace)
            _note_norms(model, images[:FEW], seen)
    _check_modules(model, seen)
    called = {entry.name for entry in trace.order}
    trace.not_called = [entry for entry in seen if entry.name not in called and entry.has_weights]
    return trace


def _counted(model: nn.Module, images: Tensor, trace: Trace) -> list[Seen]:
    """Return a record of each module, or of each of its calls in a pass where it runs more than once."""
    with torch.no_grad(), hooked(unseen(model), lambda entry, output: None) as called:
        model(images)
    seen = unseen(model, called)
    trace.note_calls(called, seen)
    return seen


def _note_norms(model: nn.Module, images: Tensor, seen: Sequence[Seen]) -> None:
    """Fill in which convolutions a batch normalization follows directly, and which layers return its output."""
    try:
        recording = recorded(model, images)
    except RuntimeError as error:  # tensors of torch's inference mode don't count their changes
        log.debug("which normalizations follow convolutions is not known: %s", error)
        return
    for entry in seen:
        returned = recording.returned.get(id(entry.module), [])[entry.number - 1 : entry.number]
        entry.returns_of = frozenset().union(*returned)
        norms = [recording.norm_behind[call] for call in entry.returns_of if call in recording.norm_behind]
        entry.normalized_by = next(iter(norms), 0)


def _check_modules(model: nn.Module, seen: Sequence[Seen]) -> None:
    """Raise ModelError when passes put other modules into the model."""
    known = {entry.module for entry in seen}
    built = [name for name, module in model.named_modules() if module not in known]
    if built:
        raise ModelError(
            f"the model's forward builds the module {built[0]!r} again in each pass, with other weights; "
            "build modules in __init__"
        )


def _compare_values(model: nn.Module, images: Tensor, seen: Sequence[Seen], trace: Trace) -> None:
    """Fill in what the modules return, and whether they return the same again, and for an image among others."""

    def first(entry: Seen, output: object) -> None:
        trace.order.append(entry)
        tensor = _readable(entry, output)
        if tensor is None:
            entry.returns = described_output(output)
        else:
            entry.shape, entry.dtype, entry.values = tensor.shape, tensor.dtype, _some_values(tensor)
            if tensor.is_floating_point() and entry.values.numel():
                entry.lowest = float(entry.values.min())
            has_images = tensor.ndim > entry.batch_axis and tensor.shape[entry.batch_axis] == BATCH
            entry.values_of_last = _some_values(tensor.select(entry.batch_axis, -1)) if has_images else None

    def again(entry: Seen, output: object) -> None:
        tensor = _readable(entry, output)
        if tensor is not None and entry.values is not None:
            entry.is_random = _differ(entry.values, _some_values(tensor), SAME)
        entry.values = None

    def among_others(entry: Seen, output: object) -> None:
        tensor = _readable(entry, output)
        if tensor is not None and entry.values_of_last is not None and tensor.shape == entry.shape:
            entry.depends_on_others = _differ(
                entry.values_of_last, _some_values(tensor.select(entry.batch_axis, 0)), ALIKE
            )
        entry.values_of_last = None

    for receive, batch in ((first, images), (again, images), (among_others, changed_companions(images))):
        with hooked(seen, receive) as called:
            model(batch)
        trace.note_calls(called, seen)


def _readable(entry: Seen, output: object) -> Tensor | None:
    """Return the tensor that a module's output is or holds; None where it holds none whose values can be read."""
    tensor = tensor_of(entry.module, output)
    if tensor is not None:
        entry.unreadable = entry.unreadable or unreadable(tensor)
    return None if entry.unreadable else tensor


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


def _time(model: nn.Module, images: Tensor, seen: Sequence[Seen], trace: Trace) -> None:
    """Fill in when each module, or each of its calls, was done, in the fastest of several passes."""
    trace.total_seconds = float("inf")
    for contrast in TIMED_CONTRASTS:
        batch = images * contrast
        ends: list[tuple[Seen, float]] = []
        start = time.perf_counter()

        def note(entry: Seen, output: object, start: float = start, ends: list[tuple[Seen, float]] = ends) -> None:
            ends.append((entry, time.perf_counter() - start))

        with hooked(seen, note) as called:
            model(batch)
        total = time.perf_counter() - start
        trace.note_calls(called, seen)
        if total < trace.total_seconds:
            trace.total_seconds = total
            for entry, seconds in ends:
                entry.end_seconds = seconds


def _follow(model: nn.Module, images: Tensor, seen: Sequence[Seen]) -> None:
    """Fill in axes, gradients and which layers return the same tensor, by one pass that keeps every output."""
    tracer = AxisTracer()
    first_of: dict[tuple[int, int], str] = {}
    kept: list[Tensor] = []  # a tensor that is freed may give its identity to another
    total = torch.zeros(())

    def receive(entry: Seen, output: object) -> None:
        nonlocal total
        tensor = _readable(entry, output)
        if tensor is None:
            return
        entry.shape_of_few, entry.axes = tensor.shape, tracer.axes(tensor)
        entry.fault = entry.fault or tracer.fault(tensor)
        entry.batch_axis = image_axis(entry.axes)
        entry.made_by = tracer.made_by(tensor)
        entry.same_as = first_of.setdefault((id(tensor), _version(tensor)), entry.name)
        entry.has_gradient = tensor.requires_grad and tensor.is_floating_point()
        kept.append(tensor)
        if entry.has_gradient:
            total = total + tensor.sum()

    leaf = images.requires_grad_()
    # Hooks on saved tensors run a part of the model again in the backward pass, and would hand over its layers twice.
    no_recomputing = torch.autograd.graph.disable_saved_tensors_hooks(f"its forward uses {CHECKPOINT}")
    with torch.enable_grad(), no_recomputing, hooked(seen, receive), tracer:
        model(tracer.of_images(leaf * 1.0))  # not the leaf itself: a model may change its input in place
    if not total.requires_grad:
        raise ModelError(
            "the model gives no gradients (its forward runs under no_grad, or detaches), so nothing can be optimized; "
            "give one whose forward is differentiable"
        )
    if not _goes_back(total, leaf):
        for entry in seen:
            entry.has_gradient = entry.has_gradient and _reaches(model, leaf, entry)


def _version(tensor: Tensor) -> int:
    """Return how often a tensor was changed in place; torch does not count for what comes from its inference mode."""
    return 0 if tensor.is_inference() else tensor._version


def _reaches(model: nn.Module, leaf: Tensor, entry: Seen) -> bool:
    """Say whether the backward pass from one module's output works when the forward pass ends there."""
    output: Tensor | None = None

    def receive(entry: Seen, value: object) -> None:
        nonlocal output
        output = _readable(entry, value)
        raise Stopped

    with torch.enable_grad(), hooked([entry], receive), contextlib.suppress(Stopped):
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
