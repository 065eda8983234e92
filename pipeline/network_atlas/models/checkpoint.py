"""Load a checkpoint file into a model: tensors only, never code; every key that does not fit is named."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from network_atlas.errors import ConfigError, ModelError, did_you_mean

WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
"""Keys under which training scripts keep the weights inside a checkpoint."""


def load_checkpoint(model: nn.Module, path: str) -> None:
    """Load a checkpoint file into `model`, unwrapping what training scripts wrap around it.

    Only tensors are read, never code. Raises ModelError listing every key that is missing, unexpected or of another
    shape.
    """
    raw = _read_checkpoint(path)
    state = _unwrap(raw, path)
    problems = _mismatches(model.state_dict(), state)
    if problems:
        shown = "\n  ".join(problems[:20])
        more = f"\n  ... and {len(problems) - 20} more" if len(problems) > 20 else ""
        raise ModelError(
            f"checkpoint {path!r} does not fit {type(model).__name__}:\n  {shown}{more}\n"
            "Check model.name and model.arguments (for example model.arguments.num_classes)."
        )
    model.load_state_dict(state)


def _read_checkpoint(path: str) -> object:
    if not os.path.isfile(path):
        raise ConfigError(
            f"model.weights={path!r} is not a file; give 'default', 'none', or the path of a checkpoint."
            + did_you_mean(path, ["default", "none"])
        )
    if path.endswith(".safetensors"):
        return _read_safetensors(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # Torch's own message is left out: it advises to load the file unsafely.
        raise ModelError(
            f"checkpoint {path!r} can't be read safely: it holds more than tensors (pickled Python objects), or is not "
            "a checkpoint. Save it again as a plain state dict: torch.save(model.state_dict(), path)."
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise ModelError(f"checkpoint {path!r} can't be read: it is cut short, or not a checkpoint.") from error


def _read_safetensors(path: str) -> object:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise ModelError(f"checkpoint {path!r} needs the package safetensors: pip install safetensors") from error
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"checkpoint {path!r} can't be read: {error}") from error


def _unwrap(raw: object, path: str) -> dict[str, Tensor]:
    for _ in WRAPPERS:
        if not isinstance(raw, Mapping):
            break
        inner = next((raw[key] for key in WRAPPERS if isinstance(raw.get(key), Mapping)), None)
        if inner is None:
            break
        raw = inner
    if not isinstance(raw, Mapping) or not raw or not all(isinstance(value, Tensor) for value in raw.values()):
        raise ModelError(
            f"checkpoint {path!r} holds no weights: expected tensors by name, alone or under one of "
            f"{', '.join(WRAPPERS)}; found {_describe(raw)}."
        )
    return {str(key).removeprefix("module."): value for key, value in raw.items()}


def _describe(raw: object) -> str:
    if isinstance(raw, Mapping):
        return "the keys " + ", ".join(repr(key) for key in list(raw)[:8]) if raw else "nothing"
    return f"a {type(raw).__name__}"


def _mismatches(expected: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> list[str]:
    missing = [f"missing: {key}" for key in expected if key not in state]
    extra = [f"unexpected: {key}{did_you_mean(key, expected, limit=1)}" for key in state if key not in expected]
    shapes = [
        f"shape of {key}: {tuple(state[key].shape)} in the file, {tuple(expected[key].shape)} in the model"
        for key in expected
        if key in state and state[key].shape != expected[key].shape
    ]
    return missing + extra + shapes
