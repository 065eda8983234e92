"""Read what a checkpoint file holds, without running code from it: torch's own, safetensors, an index of several files.

Its first bytes say what a file is: suffixes often say something else.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pickle
import re
import zipfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch

from network_atlas.errors import ConfigError, ModelError, did_you_mean
from network_atlas.models.checkpoint_index import WEIGHT_MAP, parse_index, part_names, read_index

SAFETENSORS = b"\0{"
"""The eighth and ninth byte: the end of the length of the header, and the header, which is JSON."""
TORCH = (b"PK", b"\x80")
"""How a file of torch.save begins: it is a zip archive, or was pickled before torch 1.6."""
FOREIGN = {
    b"version https://git-lfs": "a pointer of Git LFS in the place of the file; fetch it with: git lfs pull",
    b"<": "a page of HTML or XML, as a failed download leaves; download it again",
    b"\x1f\x8b": "compressed by gzip; unpack it with: gunzip",
    b"\x89HDF": "in the format HDF5, as Keras writes; save the weights by torch.save",
    b"\x93NUMPY": "one array of NumPy; save the weights by name with torch.save",
    b"GGUF": "in the format GGUF, whose weights are quantized; give the weights from which it was made",
}
"""How files begin that stand where a checkpoint should, and what to do."""
LONGEST_START = max(map(len, FOREIGN))
PICKLED = "data.pkl"
"""The name, in any folder, of what torch.save keeps in its archive beside the tensors."""
BLOCKED = r"Unsupported (?:global: GLOBAL|class) (\S+)"
"""Torch's words about what it does not load safely."""


def read_checkpoint(path: str) -> object:
    """Return what the file at `path` holds: tensors, mappings, numbers, NumPy's values, and argparse's namespaces.

    Raises ConfigError where there is no file, ModelError where it can't be read safely or is no checkpoint.
    """
    if not os.path.isfile(path):
        raise ConfigError(
            f"model.weights={path!r} is not a file; give 'default', 'none', or the path of a checkpoint."
            + did_you_mean(path, ["default", "none"])
        )
    try:
        start = _start(path)
    except OSError as error:
        raise ModelError(f"checkpoint {path!r} can't be read: {error.strerror}") from error
    if _is_safetensors(path, start):
        return _read_safetensors(path)
    if _starts_json(path, start):
        return _read_index(path)
    foreign = next((what for begin, what in FOREIGN.items() if start.lstrip().startswith(begin)), "")
    if foreign:
        raise ModelError(f"checkpoint {path!r} is {foreign}.")
    return _read_torch(path)


def _read_torch(path: str) -> object:
    _check_archive(path)
    try:
        # An open file, since torch goes by the suffix, too.
        with _safe_values(), open(path, "rb") as file:
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # Torch's own message is left out: it advises to load the file unsafely.
        blocked = re.search(BLOCKED, str(error))
        held = f"{blocked[1]!r}, a pickled Python object" if blocked else "more than tensors (pickled Python objects)"
        other = "" if blocked else ", or is not a checkpoint"
        raise ModelError(
            f"checkpoint {path!r} can't be read safely: it holds {held}{other}. "
            "Save it again as a plain state dict: torch.save(model.state_dict(), path)."
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise ModelError(f"checkpoint {path!r} can't be read: it is cut short, or not a checkpoint.") from error


def _safe_values() -> AbstractContextManager[object]:
    """Let torch load what training scripts save beside weights and what runs no code: scores and arguments."""
    if not hasattr(torch.serialization, "get_unsafe_globals_in_checkpoint"):  # before torch 2.6
        return contextlib.nullcontext()
    values: list[Any] = [argparse.Namespace, np.ndarray, np.dtype]
    values += [each for each in vars(np.dtypes).values() if isinstance(each, type)]
    for name, value in (("_reconstruct", np.zeros(1)), ("scalar", np.float64(1))):
        # NumPy 1 and 2 have two names for the same function.
        values += [(value.__reduce__()[0], f"numpy.{core}.multiarray.{name}") for core in ("core", "_core")]
    return torch.serialization.safe_globals(values)


def _check_archive(path: str) -> None:
    """Raise ModelError for a zip archive that torch.save did not write."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return  # an older file, or torch says what is wrong with it
    held = {name.rpartition("/")[2] for name in names}
    if "constants.pkl" in held:  # a state dict has no file of constants
        raise ModelError(
            f"checkpoint {path!r} is a TorchScript archive, which holds code. Save its weights alone: "
            "torch.save(torch.jit.load(path).state_dict(), other_path)."
        )
    if PICKLED not in held:
        shown = f"it holds {', '.join(map(repr, names[:3]))}" if names else "it is empty"
        raise ModelError(
            f"checkpoint {path!r} is an archive that torch.save did not write: {shown}. Unpack it, or save the state "
            "of the model again: torch.save(model.state_dict(), path)."
        )


def _read_safetensors(path: str) -> Mapping[str, object]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise ModelError(f"checkpoint {path!r} needs the package safetensors: pip install safetensors") from error
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"checkpoint {path!r} can't be read: {error}") from error


def _read_index(path: str) -> dict[str, object]:
    """Return the weights of a checkpoint in several files, of which a JSON index says which weight is in which."""
    try:
        index = read_index(_content(path))
    except OSError as error:
        raise ModelError(f"checkpoint {path!r} can't be read: {error.strerror}") from error
    except ValueError as error:
        raise ModelError(f"checkpoint {path!r} {error}.") from error
    files = index[WEIGHT_MAP]
    weights: dict[str, object] = {}
    for name in part_names(index):
        part = os.path.join(os.path.dirname(path), name)
        if not os.path.isfile(part):
            raise ModelError(f"checkpoint {path!r} names the file {name!r}, which is not beside it.")
        if _is_json(part):
            raise ModelError(f"checkpoint {path!r} names the file {name!r}, which holds JSON, no weights.")
        held = read_checkpoint(part)
        if not isinstance(held, Mapping):
            raise ModelError(f"checkpoint {part!r}, a part of {path!r}, holds a {type(held).__name__}, not weights.")
        weights |= {key: held[key] for key, file in files.items() if file == name and key in held}
    missing = [key for key in files if key not in weights]
    if missing:
        raise ModelError(f"checkpoint {path!r}: {missing[0]!r} is not in the file {files[missing[0]]!r} that it names.")
    return weights


def checkpoint_paths(path: str) -> list[str]:
    """Return the files that a checkpoint consists of: `path`, and the files beside it that it names if it is an index.

    [] where there is no file, or none that can be read.
    """
    try:
        names = part_names(parse_index(_content(path))) if _is_json(path) else []
    except OSError:
        return []
    return [path, *(os.path.join(os.path.dirname(path), name) for name in names)]


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _start(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(LONGEST_START)


def _is_json(path: str) -> bool:
    return _starts_json(path, _start(path))


def _starts_json(path: str, start: bytes) -> bool:
    """Say whether a file with this start is read as JSON."""
    return start.lstrip()[:1] == b"{" and not _is_safetensors(path, start)


def _is_safetensors(path: str, start: bytes) -> bool:
    return start[7:9] == SAFETENSORS or (path.endswith(".safetensors") and not start.startswith(TORCH))
