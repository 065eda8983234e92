"""Find the weights of a model inside a checkpoint, whatever was wrapped around them.

A training script keeps weights inside mappings or tuples (`state_dict`, `model`, `ema`), and wrappers of modules put
parts in front of the keys or between their parts (`module.`, `_orig_mod.`, `model.`). Keys are taken as they are where
they fit. Else wrappers' parts are left out, and common prefixes are taken off, in the file and in the model, until
names and shapes fit. Last, the numbers of an `nn.Sequential` are counted from another start, as when a normalization
was put in front. Nothing is ever loaded in part: each weight of the model is there, or the set does not fit.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

Names = Mapping[str, str]
"""A name, as it is compared, to the key that it stands for."""

WRAPPER_PARTS = frozenset({"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
"""Parts of keys that wrappers of modules put in: DataParallel and DDP, torch.compile, FSDP, activation checkpoints."""
OPTIONAL = ("num_batches_tracked", "n_averaged")
"""Last parts of keys that count training steps: old files lack the first, averaged models add the second. Evaluation
reads neither."""
USUAL_NAMES = frozenset(
    {"state_dict", "model_state_dict", "model_state", "model", "net", "network", "module", "weights", "params"}
) | (WRAPPER_PARTS - {"module"})
"""Under which training scripts keep the weights that they trained."""
PROGRESS_WORDS = frozenset(
    {"step", "steps", "epoch", "epochs", "iter", "iters", "iteration", "iterations", "lr", "loss", "acc", "accuracy"}
)
"""Words in the names of single numbers that training scripts save beside the weights: `global_step`, `best_acc1`."""
NORMALIZATION = ("mean", "std")
"""Last parts of the keys of a module that normalizes images in front of a network."""
NO_WEIGHTS = re.compile(r"(^|[^a-z])(optim(izer)?s?|grad(ient)?s?|exp_avg|momentum)([^a-z]|$)", re.IGNORECASE)
"""Words in the names of mappings that may have the keys and shapes of weights and are other numbers."""
LONGEST = 8
"""Bytes of a number of NumPy's that torch has too, complex ones left out."""
AVERAGED = frozenset({"ema", "swa", "avg", "averaged", "shadow"})
"""Words in the names of weights that are averages of those that were trained."""


@dataclass(frozen=True, slots=True)
class WeightSet:
    """Values by key, as they stand in a checkpoint: `path` leads to them, from mapping to mapping, then by prefix."""

    path: tuple[str, ...]
    values: Mapping[str, object]

    @property
    def label(self) -> str:
        """Return the path as text."""
        return repr(".".join(self.path)) if self.path else "the file itself"

    @property
    def rank(self) -> int:
        """Return the order of preference, where several sets fit: trained 0, of an unusual name 1, averaged 2."""
        if any(words_of(part) & AVERAGED for part in self.path):
            return 2
        return 0 if USUAL_NAMES.issuperset(self.path) else 1


def weight_sets(raw: object, path: tuple[str, ...] = ()) -> Iterator[WeightSet]:
    """Yield each mapping of a checkpoint that holds tensors by name, outer ones first.

    The items of a tuple or list have their numbers in the path.
    """
    if isinstance(raw, tuple | list):
        for number, item in enumerate(raw):
            yield from weight_sets(item, (*path, str(number)))
    if not isinstance(raw, Mapping):
        return
    named = {key: _as_tensor(value) for key, value in raw.items() if isinstance(key, str)}
    values = {key: value for key, value in named.items() if _is_state(key, value)}
    if any(isinstance(value, Tensor) for value in values.values()):
        yield WeightSet(path, values)
    for key, value in named.items():
        if key not in values and not NO_WEIGHTS.search(key):
            yield from weight_sets(value, (*path, key))


def words_of(name: str) -> frozenset[str]:
    """Return the words in a name, in small letters."""
    return frozenset(re.split(r"[^a-z]+", name.lower())) - {""}


def _as_tensor(value: object) -> object:
    """Return an array of numbers as a tensor, anything else as it is."""
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biufc" or value.dtype.itemsize > LONGEST:
        return value
    return torch.from_numpy(value.astype(value.dtype.newbyteorder("=")))


def _is_state(key: str, value: object) -> bool:
    """Say whether an entry may be a module's state: a tensor, or another value that torch saves beside tensors."""
    extra = key.rpartition(".")[2] == "_extra_state"  # torch lets a module save a value of any type under this name
    return extra or isinstance(value, Tensor) or ("." in key and not isinstance(value, Mapping))


def fits(weights: WeightSet, expected: Mapping[str, object]) -> list[WeightSet]:
    """Return the values for the model's keys, those of `expected`, if `weights` have them all.

    Several, where several parts of `weights` fit: a student and its teacher, for example. Their paths say which.
    """
    forms = list(_forms(expected))
    return _fits(weights, forms, expected) or _fits(weights, forms, expected, renumbered=True)


def _fits(
    weights: WeightSet, forms: Sequence[Names], expected: Mapping[str, object], *, renumbered: bool = False
) -> list[WeightSet]:
    for names in _readings(weights.values):
        for prefix in _common_prefixes(names):
            if fitting := _fitted(weights, prefix, names, forms, expected, renumbered=renumbered):
                return [fitting]
    needed = len({place(value) or key for key, value in expected.items() if not _is_optional(key)})
    parts: dict[tuple[str, ...], WeightSet] = {}
    for names in _readings(weights.values):
        for prefix in _prefixes(names, needed):
            fitting = _fitted(weights, prefix, names, forms, expected, renumbered=renumbered)
            if fitting and prefix not in parts:
                parts[prefix] = fitting
    return list(parts.values())


def closest_problems(weights: WeightSet, expected: Mapping[str, object]) -> tuple[str, list[str]]:
    """Return the prefix that was left out of the keys, and then the differences, of the comparison with the fewest."""
    compared = [
        (".".join(prefix), list(_problems(weights.values, _below(names, prefix), form, expected)))
        for form in _forms(expected)
        for names in _readings(weights.values)
        for prefix in _common_prefixes(names)
    ]
    return min(compared, key=lambda comparison: len(comparison[1]))


def fitted_part(weights: WeightSet, expected: Mapping[str, object]) -> tuple[str, list[str]] | None:
    """Return the prefix of the part of the model that `weights` fit, and the model's other keys; None if they fit none.

    For example where the model is a normalization and a network, and the file has the network alone.
    """
    tensors = [key for key, value in weights.values.items() if isinstance(value, Tensor) and not _is_optional(key)]
    for part in _prefixes({key: key for key in expected}, max(1, len(tensors))):
        prefix = ".".join(part) + "."
        inside = {key: value for key, value in expected.items() if key.startswith(prefix)}
        others = [key for key in expected if key not in inside and not _is_optional(key)]
        if others and fits(weights, inside):
            return prefix, others
    return None


def common_prefix(weights: WeightSet) -> str:
    """Return the longest prefix of all keys, without its last dot."""
    *_, longest = _common_prefixes({key: key for key in weights.values})
    return ".".join(longest)


def _readings(keys: Iterable[str]) -> Iterator[Names]:
    """Yield the names of keys: as they are, then without the parts that wrappers put in."""
    plain = {key: key for key in keys}
    yield plain
    cleaned = {_cleaned(key): key for key in plain}
    # Where two keys become one, a part belongs to the model: then it has a meaning, and nothing is left out.
    if cleaned.keys() != plain.keys() and len(cleaned) == len(plain):
        yield cleaned


def _forms(expected: Mapping[str, object]) -> Iterator[Names]:
    """Yield names for the model's keys: as they are, without wrappers' parts, without common prefixes."""
    for names in _readings(expected):
        for prefix in _common_prefixes(names):
            yield _below(names, prefix)


def _cleaned(key: str) -> str:
    *parts, last = key.split(".")
    return ".".join([*(part for part in parts if part not in WRAPPER_PARTS), last])


def _common_prefixes(names: Names) -> Iterator[tuple[str, ...]]:
    """Yield the prefixes that all names have, the empty one first, a part longer each time."""
    paths = [name.split(".")[:-1] for name in names if not _is_optional(name)]
    yield ()
    for length in range(1, min((len(path) for path in paths), default=0) + 1):
        if len({tuple(path[:length]) for path in paths}) > 1:
            return
        yield tuple(paths[0][:length])


def _prefixes(names: Names, least: int) -> list[tuple[str, ...]]:
    """Return the prefixes that at least `least` names have."""
    counts: Counter[tuple[str, ...]] = Counter()
    for name in names:
        parts = name.split(".")[:-1]
        counts.update(tuple(parts[:length]) for length in range(1, len(parts) + 1))
    return [prefix for prefix, count in counts.items() if count >= least]


def _below(names: Names, prefix: tuple[str, ...]) -> Names:
    """Return the names that have a prefix, without it."""
    if not prefix:
        return names
    start = ".".join(prefix) + "."
    return {name.removeprefix(start): key for name, key in names.items() if name.startswith(start)}


def _fitted(
    weights: WeightSet,
    prefix: tuple[str, ...],
    names: Names,
    forms: Iterable[Names],
    expected: Mapping[str, object],
    *,
    renumbered: bool,
) -> WeightSet | None:
    """Return the values of the names below a prefix, if they fit one of the forms of the model's keys."""
    all_below = _below(names, prefix)
    for form in forms:
        below = _renumbered(all_below, form) if renumbered else all_below
        if below and next(_problems(weights.values, below, form, expected), None) is None:
            values = {key: weights.values[below[name]] for name, key in form.items() if name in below}
            return WeightSet((*weights.path, *prefix), values)
    return None


def _renumbered(names: Names, form: Names) -> Names:
    """Return names of an `nn.Sequential` with numbers counted so that the last is that of `form`; {} if none differ.

    Modules that only one of the two has in front must have no weights, or be a normalization's.
    """
    numbers, expected = _numbers(names), _numbers(form)
    shift = max(numbers.values(), default=0) - max(expected.values(), default=0)
    if not shift or not numbers or not expected:
        return {}
    in_front = [name for name, number in numbers.items() if number < shift]
    if any(name.rpartition(".")[2] not in NORMALIZATION for name in in_front):
        return {}
    return {
        f"{number - shift}.{name.partition('.')[2]}": names[name] for name, number in numbers.items() if number >= shift
    }


def _numbers(names: Names) -> dict[str, int]:
    """Return the number with which each name begins; {} if one begins with none."""
    numbers = {name: name.partition(".")[0] for name in names if not _is_optional(name) or name[0].isdecimal()}
    all_begin = all(number.isdecimal() for number in numbers.values())
    return {name: int(number) for name, number in numbers.items()} if all_begin else {}


def _problems(values: Mapping[str, object], names: Names, form: Names, expected: Mapping[str, object]) -> Iterator[str]:
    """Yield the differences between a file's `names` and the model's, `form`."""
    missing = [name for name in form if name not in names and not _is_optional(name)]
    if missing:  # a weight that has several names in the model may have one of them in the file
        held = {place(expected[key]) for name, key in form.items() if name in names} - {None}
        yield from (f"missing: {name}" for name in missing if place(expected[form[name]]) not in held)
    for name, key in names.items():
        if name not in form and isinstance(values[key], Tensor) and not _is_progress(name, values[key]):
            yield f"unexpected: {name}"
    for name, key in form.items():
        part, difference = _difference(values[names[name]], expected[key]) if name in names else ("", "")
        if difference:
            yield f"{part} of {name}: {difference}"


def _is_progress(name: str, value: object) -> bool:
    """Say whether an entry that the model does not have says how far a training was, and not what was learned."""
    if _is_optional(name):
        return True
    is_number = "." not in name and isinstance(value, Tensor) and value.numel() == 1
    return is_number and bool(words_of(name) & PROGRESS_WORDS)


def _is_optional(name: str) -> bool:
    return name.rpartition(".")[2] in OPTIONAL


def _difference(value: object, expected: object) -> tuple[str, str]:
    """Return in what a value differs from the one that it would replace, and how; empty where it fits."""
    if not isinstance(expected, Tensor):
        return "", ""  # a module's own state
    if not isinstance(value, Tensor):
        return "type", f"a {type(value).__name__} in the file, a tensor in the model"
    if value.is_meta or value.is_quantized or value.layout is not torch.strided:
        kind = "none" if value.is_meta else "quantized" if value.is_quantized else "sparse"
        return "values", f"{kind} in the file, plain numbers in the model"
    if value.is_complex() and not expected.is_complex():
        return "values", "complex in the file, real in the model"
    if expected.is_floating_point() and not value.is_floating_point():
        # Weights that were quantized by hand: their scales are elsewhere, or nowhere.
        return "values", f"{_kind(value)} in the file, {_kind(expected)} in the model"
    if not expected.is_floating_point() and value.is_floating_point() and bool((value.double() % 1).any()):
        return "values", f"{_kind(value)} in the file, {_kind(expected)} in the model"
    if is_lazy(expected) or value.shape == expected.shape:  # a lazy tensor takes its shape from the file
        return "", ""
    return "shape", f"{tuple(value.shape)} in the file, {tuple(expected.shape)} in the model"


def _kind(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")


def place(value: object) -> tuple[int, torch.Size] | None:
    """Return where a tensor lies in memory, which two names of one weight share; None where there is none."""
    if not isinstance(value, Tensor) or is_lazy(value) or value.is_meta or not value.numel():
        return None
    return value.data_ptr(), value.shape
