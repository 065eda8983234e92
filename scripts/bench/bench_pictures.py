"""Learn pictures of single channels as a worker does, without a store. Used by `peers` and `recipes`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from network_atlas.config.compose import compose
from network_atlas.config.recipe import OptimizeConfig
from network_atlas.config.schema import RunConfig
from network_atlas.fingerprints import fingerprint
from network_atlas.layers import LayerSpec
from network_atlas.models.device import optimize_dtype, use_device
from network_atlas.models.facts import model_facts
from network_atlas.models.half_size import takes_half_size
from network_atlas.models.load import load_model, ready
from network_atlas.models.receptive_field import with_receptive_fields
from network_atlas.optimize.loop import Recipe, optimize
from network_atlas.pictures.parameterizations import parameterization
from network_atlas.pictures.parameterizations.maco import packaged_magnitude
from network_atlas.pictures.stored import Pixels, measure
from network_atlas.pictures.target import Target
from network_atlas.plan.depth import field_px, fitted
from network_atlas.plan.pictures import Picture
from network_atlas.units import Channel

LAYERS = ("_blocks.4", "_blocks.10", "_blocks.13")
"""An early, a middle and a late block of EfficientNet-Lite0."""
CHANNELS = tuple(range(1, 17, 2))


@dataclass(frozen=True)
class Studio:
    """A network on its device, as a worker has it, and its layers by name."""

    config: RunConfig
    device: torch.device
    model: nn.Module
    layers: dict[str, LayerSpec]

    @classmethod
    def opened(cls, overrides: Sequence[str], *, threads: int) -> Studio:
        """Load the network; torch uses `threads` threads from now on."""
        config = compose(["executor=inline", *overrides])
        device = use_device(config.executor, threads=threads)
        model = load_model(config.model)
        layers = {layer.name: layer for layer in model_facts(model, config.model).layers}
        return cls(config, device, ready(model, config.model, device), layers)

    def pixels(self, layer: str, channels: Sequence[int], config: OptimizeConfig) -> Pixels:
        """Return the learned pictures of some channels, (pictures, rows, columns, channels), all in one batch."""
        shown = self.config.model.input
        # The recipe of early and middle layers follows the field.
        (spec,) = with_receptive_fields(self.model, [self.layers[layer]], shown)
        config = fitted(config, spec, shown).recipe
        built = parameterization(config, channels=3, device=self.device, magnitude=packaged_magnitude())
        dtype = optimize_dtype(config, self.config.executor)
        slots = len(channels) * config.transform.views
        field = field_px(config, spec, shown)
        recipe = Recipe(config=config, dtype=dtype, parameterization=built, slots=slots, field_px=field)
        halves = config.coarse > 0 and takes_half_size(self.model, shown, self.device)
        finished = optimize(
            replace(self.target(layer), takes_half=halves), [_picture(layer, channel) for channel in channels], recipe
        )
        return np.stack([picture.pixels for picture in finished])

    def scores(self, layer: str, channels: Sequence[int], pixels: Pixels) -> list[float]:
        """Return the scores of 8-bit pictures, (pictures, rows, columns, channels), untransformed and in float32."""
        return measure(self.target(layer), pixels, [_picture(layer, channel).readable for channel in channels])

    def target(self, layer: str) -> Target:
        """Return the network as pictures of a layer are learned for it."""
        return Target(model=self.model, layers=[self.layers[layer]], input=self.config.model.input, device=self.device)


def _picture(layer: str, channel: int) -> Picture:
    unit = Channel(layer=layer, channel=channel)
    key = fingerprint("bench", unit)
    return Picture(key=key, unit=unit, variant="channel+", objective="channel", sign=1, seed=0)
