"""Make a model ready to be read: its weights never change from here on.

    freeze(model, images)                              # once, behind `on_device`
    frozen_forward(model, images, outputs=[module])    # the output of `module` is seen as it is

Before it is used, values and gradients of the frozen pass are compared with the model's own, on generated images. A
model whose numbers differ by more than rounding runs as it is, which one line of the log says. Nothing of the model is
changed, so `model(images)` is always the model's own pass.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from network_atlas.models.comparison import difference, numbers_of
from network_atlas.models.frozen.followers import NotAsRecordedError
from network_atlas.models.frozen.passes import FrozenPass
from network_atlas.models.frozen.prepared import Frozen
from network_atlas.models.frozen.recording import recorded

log = logging.getLogger(__name__)

VALUES_DIFFER = 1e-3
GRADIENTS_DIFFER = 5e-2
"""Largest relative differences, by Euclidean norm, in float32. Merged weights are rounded once more: values of deep
networks differ by 1e-6, those with normalization by small numbers by 1e-4. Gradients differ by more, since a value near
zero may be on the other side of a ReLU (1e-3 for random networks of 50 layers); an error of ours differs by tenths."""

FROZEN, AS_IT_IS = "frozen", "as it is"
"""How a model runs, as records say it."""

ATTENTION = (nn.MultiheadAttention, nn.TransformerEncoderLayer)
"""Modules that torch computes in one call where no gradients are needed, but not while a mode is on."""

_FROZEN: WeakKeyDictionary[nn.Module, Frozen] = WeakKeyDictionary()
_PROBLEMS: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()


def freeze(model: nn.Module, images: Tensor) -> bool:
    """Let `frozen_forward` run a model frozen from now on, if that gives the model's own numbers; say whether it does.

    The numbers are compared on `images`, (batch, channels, rows, columns). The model's weights must not change
    afterwards.
    """
    try:
        frozen = Frozen.of(recorded(model, images))
        frozen.has_attention = any(isinstance(module, ATTENTION) for module in model.modules())
        problem = _problem_with_sums(model, frozen, images) and _problem(model, frozen, images)
    except Exception as error:  # foreign code: any exception is possible, and the model's own pass is still there
        problem = f"{type(error).__name__}: {error}"
    if problem:
        log.info("the network runs as it is, not frozen: %s", problem)
        _PROBLEMS[model] = problem
        return False
    _FROZEN[model] = frozen
    log.info("the network runs frozen")
    return True


def frozen_forward(
    model: nn.Module, images: Tensor, *, outputs: Iterable[nn.Module] = (), inputs: Iterable[nn.Module] = ()
) -> Any:
    """Return what a model returns for `images`, (batch, channels, rows, columns), by its frozen pass if it has one.

    Hooks see the outputs of the modules `outputs` and the inputs of the modules `inputs` as they are; of other modules
    they may see what later modules make of it. A pass may run twice, when the model goes another way than recorded.
    """
    frozen = _FROZEN.get(model)
    if frozen is not None and (torch.is_grad_enabled() or not frozen.has_attention):
        try:
            return _whole_pass(model, images, FrozenPass(frozen, frozen.ends_at(outputs, inputs)))
        except NotAsRecordedError as error:
            log.warning("the network runs as it is from now on, not frozen: %s", error)
            _PROBLEMS[model] = str(error)
            del _FROZEN[model]
    return model(images)


def _whole_pass(model: nn.Module, images: Tensor, frozen_pass: FrozenPass) -> Any:
    with frozen_pass:
        result = model(images)
    frozen_pass.finish()
    return result


def is_frozen(model: nn.Module) -> bool:
    """Say whether a model runs frozen."""
    return model in _FROZEN


def why_not_frozen(model: nn.Module) -> str:
    """Return the reason for which a model that was to be frozen runs as it is; '' if there is none."""
    return _PROBLEMS.get(model, "")


def way_of_running(model: nn.Module) -> str:
    """Return how a model runs, for records: 'frozen', or 'as it is: ' with the reason."""
    return FROZEN if is_frozen(model) else f"{AS_IT_IS}: {why_not_frozen(model) or 'model.frozen=false'}"


def _problem_with_sums(model: nn.Module, frozen: Frozen, images: Tensor) -> str:
    """Return why convolutions can't wait for the sums behind them, '' if they can; say so to the frozen pass.

    They wait in bfloat16 alone, where it pays, but are compared in float32.
    """
    frozen.formats_of_sums = frozenset((torch.float32,))
    try:
        problem = _problem(model, frozen, images)
    except NotAsRecordedError as error:
        problem = str(error)
    frozen.formats_of_sums = frozenset() if problem else frozenset((torch.bfloat16,))
    return problem


def _problem(model: nn.Module, frozen: Frozen, images: Tensor) -> str:
    """Return how the frozen pass differs from the model's own, '' if by no more than rounding."""
    values, gradient = numbers_of(model, images)
    frozen_values, frozen_gradient = numbers_of(lambda given: _whole_pass(model, given, FrozenPass(frozen)), images)
    if len(values) != len(frozen_values):
        return "it returns another number of tensors"
    pairs = [(frozen_values, values, VALUES_DIFFER, "values")]
    pairs.append(([frozen_gradient], [gradient], GRADIENTS_DIFFER, "gradients"))
    for ours, reference, allowed, name in pairs:
        for mine, theirs in zip(ours, reference, strict=True):
            differs = difference(mine, theirs)
            if not differs <= allowed:
                return f"its {name} would differ by {differs:.2g} (allowed: {allowed:g})"
    return ""
