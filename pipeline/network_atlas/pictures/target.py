"""The network that pictures are learned for: images go in, the maps of the layers that are read come out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from network_atlas.config.schema import InputConfig
from network_atlas.layers import LayerSpec
from network_atlas.models.batches import filled, pieces
from network_atlas.models.capture import Forward, capture
from network_atlas.models.frozen.freeze import frozen_forward
from network_atlas.models.load import normalize


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The network, and the layers that are read."""

    model: nn.Module
    layers: Sequence[LayerSpec]
    input: InputConfig
    device: torch.device
    takes_half: bool = False
    """The model also runs on images of half its input's height and width."""
    before_activation: bool = False
    """Read layers that are activations (ReLU and the like) by what goes into them."""
    forward: Forward = frozen_forward
    """Runs the model."""

    def maps(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> dict[str, Float[Tensor, "batch maps rows columns"]]:
        """Return the layers' maps by name, in the network's number format, from images on 0..1 at its input size.

        The model runs in batches of fixed sizes, so that a picture's maps and gradient don't depend on the others.
        """
        read: dict[str, list[Tensor]] = {layer.name: [] for layer in self.layers}
        latest: dict[str, Tensor] = {}
        prepared = normalize(images, self.input)
        if prepared.requires_grad:
            # The network's gradient has its channels last, in which order all that is before the network is slow.
            prepared.register_hook(Tensor.contiguous)  # type: ignore[no-untyped-call]

        def receive(layer: LayerSpec, maps: Tensor) -> None:
            latest[layer.name] = maps

        # Where several layers are read, an in-place operation would change the maps of one before it: keep copies.
        keep = len(self.layers) > 1
        before, forward = self.before_activation, self.forward
        with capture(self.model, self.layers, receive, stop=True, keep=keep, before=before, forward=forward) as run:
            sizes = [(part.stop - part.start, rows) for part, rows in pieces(len(images), images.device)]
            # Not slices: the gradient of each would be as large as all images, and all of these are added.
            parts = torch.split(prepared, [count for count, _ in sizes])
            for part, (count, rows) in zip(parts, sizes, strict=True):
                run(filled(part, rows))
                for name, maps in latest.items():
                    read[name].append(maps[:count])
        return {name: parts[0] if len(parts) == 1 else torch.cat(parts) for name, parts in read.items()}
