"""Run a model for the first time: whether it runs, in which order of memory, and with all of its modules there.

A first pass builds what a model builds only when it runs: lazy layers, caches, modules made in `forward`. So it is part
of loading, and runs under the same seed: each worker gets the same weights.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from network_atlas.config.schema import InputConfig
from network_atlas.errors import ModelError
from network_atlas.models.batches import ROWS
from network_atlas.models.faults import fault, is_ours
from network_atlas.models.prepared import keep_contiguous, keep_images, to_channels_last

BATCH = ROWS[-1]
"""Images of an example."""

NEEDS_CONTIGUOUS = r"view size is not compatible with input tensor's size and stride|last dimension with stride 1"
"""Torch's errors where a model needs tensors to lie in memory in the order of their axes, as `view` does."""

CHECKPOINT = "torch.utils.checkpoint"
"""Stands in each message of torch about it."""
SIZE = (
    "set model.input.height and model.input.width to what the model expects, and model.input.resize to the smaller one "
    "at least. Or build the model for this size: many take model.arguments.img_size (timm) or "
    "model.arguments.image_size (torchvision)."
)
CHECKED_INPUT = "The model checks its input. If another size is meant: " + SIZE
"""For assertions without a message that says more."""
ADVICE = (
    (
        r"missing \d+ required (positional|keyword-only) argument",
        "A model is called with a batch of images and nothing else: give the other inputs a default value, or give "
        "model=function a function that returns a module with one input.",
    ),
    (
        r"(?i)(same dtype|\bhalf\b|bfloat16|float16|input type .* weight type|input type .* bias type)",
        "The model is run in float32: it must not convert its input or a part of its weights to half precision "
        "in forward.",
    ),
    (
        re.escape(CHECKPOINT),
        "Leave out torch.utils.checkpoint when the model does not train: it runs layers again in the backward pass.",
    ),
    (
        r"to have \d+ channels, but got \d+ channels",
        "Set model.input.channels to the number of colour channels that the model takes, and model.input.mean and "
        "model.input.std to as many values.",
    ),
    (
        r"(?i)output size is too small|kernel size can't be greater than actual input|padding size should be less",
        "The image is too small for the model: " + SIZE,
    ),
    (
        r"(?i)\b(image|input) (height|width|size)\b|doesn't match model|divisible by (patch|window|grid|merge)"
        r"|(divide|even) input|block_size",
        "The model is built for images of another size: " + SIZE,
    ),
    (
        r"mat1 and mat2 shapes cannot be multiplied|size of tensor a \(\d+\) must match the size of tensor b",
        "Often a model raises this that is built for images of another size: " + SIZE,
    ),
)
"""By patterns of what models raise, the fix."""


def run_once(model: nn.Module, config: InputConfig) -> None:
    """Run `model` on generated images, so that everything it builds in its first pass is there.

    Models run with the channels last in memory, which is faster. One that can't is set to get contiguous images, and
    one that writes into its images to get copies.
    Raises ModelError, with the reason, when the model can't run.
    """
    empty = next((name for name, value in model.named_parameters() if value.is_meta), None)
    if empty is not None:
        raise ModelError(f"the model's weight {empty!r} lies on the device 'meta' and has no values; load its values")
    images = example_input(config)
    with failures_named(config), torch.no_grad():
        try:
            to_channels_last(model)
            given = images.contiguous(memory_format=torch.channels_last)
            model(given)
        except RuntimeError as error:
            if not re.search(NEEDS_CONTIGUOUS, str(error)):
                raise
            keep_contiguous(model)
            given = images.clone()
            model(given)
    if not torch.equal(given, images):
        keep_images(model)
    _check_default_type()
    lazy = [name for name, value in model.state_dict(keep_vars=True).items() if is_lazy(value)]
    if lazy:
        raise ModelError(
            f"the model's lazy weights {', '.join(map(repr, lazy[:5]))} have no shape after a forward pass: "
            "their layers don't run. Remove these layers, or give them their sizes."
        )


def _check_default_type() -> None:
    changed = torch.get_default_dtype()
    if changed is not torch.float32:
        torch.set_default_dtype(torch.float32)  # errors are shown by code that goes on in this process
        raise ModelError(
            f"the model sets torch's default type to {str(changed).removeprefix('torch.')}, for everything in this "
            "process; leave torch.set_default_dtype out of it"
        )


def example_input(config: InputConfig, batch: int = BATCH) -> Tensor:
    """Return generated images, normalized, the same every time: (batch, channels, height, width)."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, config.channels, config.height, config.width, generator=generator)


@contextlib.contextmanager
def failures_named(config: InputConfig) -> Iterator[None]:
    """Raise ModelError, with the reason and the fix, for whatever the model raises on generated images."""
    try:
        yield
    except ModelError:
        raise
    except (Exception, SystemExit) as error:  # foreign code: any exception is possible
        if is_ours(error):
            raise ModelError(fault(error, "while it looked at the model")) from error
        raise ModelError(
            f"the model failed on a {config.channels} x {config.height} x {config.width} input: "
            f"{described(error)}. {_advice(error)}"
        ) from error


def _advice(error: BaseException) -> str:
    """Return how to fix what a model raised, as far as its message shows the cause."""
    default = CHECKED_INPUT if isinstance(error, AssertionError) else "Check model.input."
    return next((advice for pattern, advice in ADVICE if re.search(pattern, str(error))), default)


def described(error: BaseException) -> str:
    """Return the type and the message of a foreign error, to be used inside a sentence."""
    words = str(error).rstrip(". \n")
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
