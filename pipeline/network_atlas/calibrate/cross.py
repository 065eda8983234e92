"""Run a network on pictures that another one's were made for: does the old picture still excite the new channel?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from network_atlas.config.schema import ModelConfig
from network_atlas.layers import LayerSpec
from network_atlas.models.facts import model_facts
from network_atlas.models.load import load_model
from network_atlas.pictures.stored import shown
from network_atlas.pictures.target import Target
from network_atlas.store.png import decode_png

AT_ONCE = 16
"""Pictures that are run together."""

ChannelPicture = tuple[int, bytes]
"""A channel, and the PNG of its picture."""


class Network:
    """A network, run on this machine's processor."""

    def __init__(self, config: ModelConfig) -> None:
        self._config = config
        self._model: nn.Module = load_model(config)
        facts = model_facts(self._model, config)
        self._layers: Mapping[str, LayerSpec] = {layer.name: layer for layer in facts.layers}
        self.upstream: Mapping[str, str] = facts.upstream
        """Layer name to the hash of everything that determines its output."""

    @torch.inference_mode()
    def scores(self, layer: str, pictures: Sequence[ChannelPicture]) -> dict[int, float]:
        """Return by channel the spatial mean of the channel on its picture, as scores of channels are."""
        target = Target(
            model=self._model, layers=[self._layers[layer]], input=self._config.input, device=torch.device("cpu")
        )
        values: dict[int, float] = {}
        for channels, pixels in self._batches(pictures):
            means = target.maps(shown(target, pixels))[layer].float().mean(dim=(2, 3))
            values |= {channel: float(means[number, channel]) for number, channel in enumerate(channels)}
        return values

    def _batches(self, pictures: Sequence[ChannelPicture]) -> Iterator[tuple[list[int], NDArray[Any]]]:
        """Yield channels and the pixels of their pictures, (batch, height, width, channels), of one size each."""
        for start in range(0, len(pictures), AT_ONCE):
            sizes: dict[tuple[int, ...], list[tuple[int, NDArray[Any]]]] = {}
            for channel, encoded in pictures[start : start + AT_ONCE]:
                pixels = decode_png(encoded, channels=self._config.input.channels)
                sizes.setdefault(pixels.shape, []).append((channel, pixels))
            for group in sizes.values():
                yield [channel for channel, _ in group], np.stack([pixels for _, pixels in group])
