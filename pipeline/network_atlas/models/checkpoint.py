"""Load a checkpoint file into a model: tensors only, never code. Keys that do not fit are named."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from network_atlas.errors import ModelError, did_you_mean
from network_atlas.models.checkpoint_files import read_checkpoint
from network_atlas.models.weight_sets import (
    WeightSet,
    closest_problems,
    common_prefix,
    fits,
    fitted_part,
    place,
    weight_sets,
)

SHOWN = 20
"""Differences that an error names."""

log = logging.getLogger(__name__)


def load_checkpoint(model: nn.Module, path: str) -> None:
    """Load a checkpoint file into `model`, whatever a training script or wrappers of modules put around the weights.

    Only tensors are read, never code. Raises ModelError unless the file holds exactly one set of weights that fits; the
    differences of the closest one are listed. See `network_atlas.models.weight_sets`.
    """
    raw = read_checkpoint(path)
    sets = list(weight_sets(raw))
    if not sets:
        raise ModelError(
            f"checkpoint {path!r} holds no weights: expected tensors by name, alone or inside mappings or tuples; "
            f"it holds {_described(raw)}."
        )
    expected = model.state_dict()
    fitting = [part for weights in sets for part in fits(weights, expected)]
    if not fitting:
        raise ModelError(_differences(sets, expected, f"checkpoint {path!r}", type(model).__name__))
    chosen = _preferred(fitting, path)
    _check_values(chosen, expected, dict(model.named_parameters(remove_duplicate=False)), path)
    _check_shared(chosen, expected, path)
    log.info("%s: loaded the weights of %s", path, chosen.label)
    # Only counters of training steps and further names of a weight can be missing; every other key was compared.
    model.load_state_dict(dict(chosen.values), strict=False)


def _preferred(fitting: Sequence[WeightSet], path: str) -> WeightSet:
    """Return the set of weights to use. Raises ModelError where two differ and neither is the plainer one."""
    first, *others = sorted(fitting, key=lambda weights: weights.rank)
    rivals: list[WeightSet] = []
    for other in others:
        if other.rank == first.rank and not any(_are_equal(known, other) for known in (first, *rivals)):
            rivals.append(other)
    if rivals:
        raise ModelError(
            f"checkpoint {path!r} holds several sets of weights that fit: "
            f"{', '.join(weights.label for weights in (first, *rivals))}. Save those that you mean alone: "
            "torch.save(state_dict, path)."
        )
    return first


def _check_values(
    weights: WeightSet, expected: Mapping[str, object], parameters: Mapping[str, object], path: str
) -> None:
    """Raise ModelError where a weight holds NaN or, if it is learned, infinity: all outputs behind it would.

    In the model's type, in which large numbers of another type may be infinite.
    """
    for name, value in weights.values.items():
        if not isinstance(value, Tensor):
            continue
        own = expected[name]
        numbers = value.to(own.dtype) if isinstance(own, Tensor) and own.is_floating_point() else _comparable(value)
        held = "NaN" if bool(numbers.isnan().any()) else "infinity" if bool(numbers.isinf().any()) else ""
        if held == "NaN" or (held and name in parameters):  # masks of attention are made of infinities
            raise ModelError(
                f"checkpoint {path!r} holds {held} in {name!r}: its training has diverged; give an earlier checkpoint."
            )


def _check_shared(weights: WeightSet, expected: Mapping[str, object], path: str) -> None:
    """Raise ModelError where the model has one weight under two names, and the file another one for each."""
    names: dict[object, str] = {}
    for name, value in weights.values.items():
        where = place(expected[name])
        first = names.setdefault(where, name) if where is not None else name
        if not _is_same(value, weights.values[first]):
            raise ModelError(
                f"checkpoint {path!r} has two values for {first!r} and {name!r}, which are one weight in the model: "
                "build the model without sharing them."
            )


def _are_equal(first: WeightSet, second: WeightSet) -> bool:
    return first.values.keys() == second.values.keys() and all(
        _is_same(first.values[key], second.values[key]) for key in first.values
    )


def _is_same(a: object, b: object) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a is b or torch.equal(_comparable(a), _comparable(b))
    return a is b


def _comparable(value: Tensor) -> Tensor:
    """Return a tensor in a type that torch compares: it can't do so with real numbers of 8 bits."""
    return value.float() if value.is_floating_point() and value.itemsize == 1 else value


def _described(raw: object) -> str:
    if not isinstance(raw, Mapping):
        return f"a {type(raw).__name__}"
    return "the keys " + ", ".join(repr(key) for key in list(raw)[:8]) if raw else "nothing"


def _differences(sets: Sequence[WeightSet], expected: Mapping[str, object], file: str, model: str) -> str:
    """Return the message for a file without a set of weights that fits: how the closest one differs."""
    compared = [(weights, *closest_problems(weights, expected)) for weights in sets]
    weights, left_out, problems = min(compared, key=lambda comparison: len(comparison[2]))
    where = f" (the weights under {weights.label})" if weights.path else ""
    shown = "\n  ".join(problem + _hint(problem, expected) for problem in problems[:SHOWN])
    more = f"\n  ... and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
    others = ", ".join(other.label for other in sets if other is not weights)
    return (
        f"{file} does not fit {model}{where}:\n  {shown}{more}\n{_prefix_note(weights, left_out)}"
        + _part_note(sets, expected)
        + (f"It also holds tensors under {others}, which fit less.\n" if others else "")
        + "Check model.name and model.arguments (for example model.arguments.num_classes)."
    )


def _part_note(sets: Sequence[WeightSet], expected: Mapping[str, object]) -> str:
    """Return which part of the model the file fits, if it does, and what the whole model has beside it."""
    for weights in sets:
        part = fitted_part(weights, expected)
        if part is not None:
            prefix, others = part
            more = f" and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
            return (
                f"It fits the part of the model below '{prefix}'; the model also has "
                f"{', '.join(map(repr, others[:SHOWN]))}{more}. Values that are not learned can be left out of the "
                "state: register_buffer(..., persistent=False); else save the state of the whole model.\n"
            )
    return ""


def _prefix_note(weights: WeightSet, left_out: str) -> str:
    prefix = common_prefix(weights)
    if not prefix:
        return ""
    return f"All its keys begin with '{prefix}.'" + (f"; '{left_out}.' was left out.\n" if left_out else ".\n")


def _hint(problem: str, expected: Mapping[str, object]) -> str:
    name = problem.removeprefix("unexpected: ")
    return did_you_mean(name, expected, limit=1) if name != problem else ""
