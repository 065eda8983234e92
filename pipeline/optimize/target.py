"""The network as pictures see it: images in, the maps of the layers that are read out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pipeline.config.schema import InputConfig
from pipeline.models.load import normalize
from pipeline.models.trace import capture
from pipeline.units import LayerSpec

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The network and the layers that are read."""

    model: nn.Module
    layers: Sequence[LayerSpec]
    input: InputConfig
    device: torch.device
    takes_half: bool = False
    """The model also runs on images of half its input's height and width."""
    before_activation: bool = False
    """Read layers that are activations (ReLU and the like) by what goes into them."""

    def maps(self, images: Tensor) -> dict[str, Tensor]:
        """Return the layers' maps by name, each (batch, channels, rows, columns), in the network's number format.

        `images` are on 0..1 at the model's input size.
        """
        # On processors, a batch of one takes other code paths than every larger batch and rounds differently; by the
        # end of an ascent that is visible. In company, the same picture comes out to the last bit.
        alone = len(images) == 1
        batch = torch.cat([images, images.detach()]) if alone else images
        maps: dict[str, Tensor] = {}
        prepared = normalize(batch, self.input).contiguous(memory_format=torch.channels_last)

        def receive(layer: LayerSpec, own: Tensor) -> None:
            # A later in-place operation would change what was captured, and break its gradient.
            maps[layer.name] = own[:1] if alone else own

        with capture(
            self.model, self.layers, receive, stop=True, keep=len(self.layers) > 1, before=self.before_activation
        ) as run:
            run(prepared)
        return maps


@torch.inference_mode()
def takes_half_size(model: nn.Module, config: InputConfig, device: torch.device) -> bool:
    """Say whether a model runs on images of half its input size, as most convolutional ones do."""
    images = torch.zeros(2, config.channels, config.height // 2, config.width // 2, device=device)
    try:
        model(normalize(images, config))
    except Exception as error:  # foreign code: any exception is possible, and says no
        log.info("the model takes no half-size images (%s: %s)", type(error).__name__, error)
        return False
    return True
