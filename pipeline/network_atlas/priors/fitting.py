"""What fitting a model takes and gives: images of the dataset, a place for checkpoints, and the fitted state.

A kind of model is a function from a `Fitting` to a `Fitted`, under its name in `priors.worker.FITTERS`.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch import Tensor

from network_atlas.config.schema import RunConfig
from network_atlas.dataset import open_source
from network_atlas.dataset.preprocessing import MODES
from network_atlas.errors import DatasetError, UnreadableImageError, counted
from network_atlas.layers import LayerSpec
from network_atlas.store.root import Store

Pixels = UInt8[NDArray[np.uint8], "height width channels"]
State = dict[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoints:
    """Where a fitting that takes minutes keeps its state, so that a run that was stopped goes on from there."""

    store: Store
    key: str

    @property
    def _path(self) -> str:
        return f"priors/checkpoints/{self.key}.pt"

    def read(self) -> Mapping[str, object] | None:
        """Return the last state, or None if there is none."""
        data = self.store.read_if_there(self._path)
        return None if data is None else torch.load(io.BytesIO(data), weights_only=True)

    def write(self, state: Mapping[str, object]) -> None:
        """Keep a state in place of the last one."""
        self.store.write(self._path, encoded(state))

    def remove(self) -> None:
        """Delete the last state; the model itself is stored."""
        if self.store.exists(self._path):
            self.store.delete(self._path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitting:
    """All that a model is fitted with."""

    config: RunConfig
    key: str
    example_ids: Sequence[str]
    device: torch.device
    threads: int
    layer: LayerSpec | None = None
    """The layer of the network that is to be modelled, if any."""
    checkpoints: Checkpoints


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A model, how many images it was fitted to, and how well it fits."""

    state: State
    images: int
    report: Mapping[str, float] = field(default_factory=dict)


def encoded(state: Mapping[str, object]) -> bytes:
    """Return a state as the bytes of a file of torch.save."""
    stream = io.BytesIO()
    torch.save(dict(state), stream)
    return stream.getvalue()


def read_images(config: RunConfig, example_ids: Sequence[str], *, side_px: int) -> list[Pixels]:
    """Return images of the dataset in the model's colours, made smaller until the shorter side is at most `side_px`.

    Images that can't be read are left out, as in the scan. Raises DatasetError if none can.
    """
    source, mode = open_source(config.dataset), MODES[config.model.input.channels]
    images = []
    for example_id in example_ids:
        try:
            image = source.read(example_id, side_min_px=side_px)
        except UnreadableImageError:  # the scan names it, with the reason
            continue
        scale = min(1.0, side_px / min(image.size))
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        pixels = np.asarray(image.convert(mode).resize(size, reducing_gap=2.0), dtype=np.uint8)
        images.append(pixels.reshape(size[1], size[0], -1))
    if not images:
        raise DatasetError(
            f"none of {counted(len(example_ids), 'image')} could be read, so that no model can be learned from them; "
            "`atlas status` says why"
        )
    return images
