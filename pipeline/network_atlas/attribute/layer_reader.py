"""Read one layer and the layers just before it: what each of their channels adds to a value of the layer.

A(c -> u) = sum over q of a[c, q] * dz_u[p] / da[c, q]

z_u[p] is the value of channel u at one position, as the layer returns it: before the nonlinearity. a is what the layers
behind read of channel c: after its nonlinearity, where that is a module. Of several layers just before it, as at a
shortcut, each derivative leaves the others as they are. So where the layer is linear in what it reads, z is the sum of
all A and of `base`, the value that the layer has where it reads zeros.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, UInt8
from numpy.typing import NDArray
from torch import Tensor, nn

from network_atlas.config.schema import InputConfig
from network_atlas.layers import LayerSpec
from network_atlas.models.batches import filled, pieces, sizes_for
from network_atlas.models.cuts import CutPass, cut_model, passing_on
from network_atlas.models.load import normalize

Pixels = UInt8[NDArray[np.uint8], "height width channels"]
PerChannel = Float64[NDArray[np.float64], " channels"]
Position = tuple[int, int, int]
"""A channel of the layer, and the (row, column) at which it is read."""

LINEAR = 1e-3
"""Two gradients that differ by less, relative to the largest, are one: then the layer is linear in what it reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """What stands behind one value of a channel on one image."""

    value: float
    """The value itself, before the nonlinearity."""
    parents: PerChannel
    """A of every channel of the layers just before, one layer after the other."""
    pixels: Float32[NDArray[np.float32], "height width"]
    """Gradient times input, summed over the colours."""
    map: Float32[NDArray[np.float32], "rows columns"]
    """The channel's own map on the image."""


class LayerReader:
    """Reads one layer of a network on a device.

    `layers` are those at which a pass may be cut, `owners` the layers whose channels they have, by their names.
    """

    def __init__(
        self,
        model: nn.Module,
        layer: LayerSpec,
        *,
        layers: Sequence[LayerSpec],
        owners: Mapping[str, str],
        config: InputConfig,
        device: torch.device,
    ) -> None:
        self._model, self._layer, self._input, self._device = model, layer, config, device
        self._owners = owners
        self._specs = {spec.name: spec for spec in layers}
        self._rows = sizes_for(device)[0]
        self._noise = self._generated()
        self._cuts = passing_on(model, layers, owners, self._noise, layer)
        self._read = self._find_parents()

    @cached_property
    def parents(self) -> tuple[LayerSpec, ...]:
        """Return the layers just before this one whose channels it reads, in order of execution."""
        names = {self._owners[name] for name in self._read}
        return tuple(sorted((self._specs[name] for name in names), key=lambda layer: layer.index))

    @cached_property
    def base(self) -> Float32[NDArray[np.float32], "channels rows columns"]:
        """Return the layer's values where it reads zeros."""
        with cut_model(self._model, self._cuts, self._layer, zero=self._read) as run:
            values: NDArray[np.float32] = run(self._noise).maps[0].detach().float().cpu().numpy()
        return values

    def weights(self, channels: Sequence[int]) -> Float64[NDArray[np.float64], "channels parents"]:
        """Return, for each of `channels`, its weights: what one more of each parent's channel, everywhere, adds to it.

        For a convolution that is the sum of its kernel times the scale of the normalization behind it, at the centre of
        the map. NaN in parents of which the layer is not a linear function: there the weight depends on the image.
        """
        row, column = self._layer.centre
        rows: list[PerChannel] = []
        with cut_model(self._model, self._cuts, self._layer) as run:
            # Two images for each channel, many channels in a pass: an item's gradient is that of its own channel.
            for part, size in pieces(2 * len(channels), self._device):
                asked = channels[part.start // 2 : part.stop // 2]
                whole = run(filled(self._noise[:2].repeat(len(asked), 1, 1, 1), size))
                values = [whole.maps[2 * n : 2 * n + 2, channel, row, column].sum() for n, channel in enumerate(asked)]
                gradients = whole.gradients(torch.stack(values).sum())
                there = [name for name in self._read if name in gradients]
                for n in range(len(asked)):
                    rows.append(self._joined({name: _same(gradients[name][2 * n : 2 * n + 2]) for name in there}))
        return np.stack(rows)

    def means(self, images: Sequence[Pixels], at_once: int) -> PerChannel:
        """Return the mean over all positions of all `images` of what is read of each parent's channels."""
        total = self._joined({})
        with cut_model(self._model, self._cuts, self._layer) as run:
            for start in range(0, len(images), at_once):
                for part, used in self._batches(images[start : start + at_once]):
                    whole = run(part)
                    means = {name: whole.read_by(name)[:used].double().mean((2, 3)) for name in self._read}
                    total = total + self._joined({name: values.sum(0) for name, values in means.items()}, mean=True)
        return total / max(len(images), 1)

    def attributions(
        self, images: Sequence[Pixels], positions: Sequence[Sequence[Position]]
    ) -> list[list[Attribution]]:
        """Return what stands behind the values at each image's positions. An image passes the network once.

        An image's numbers are the same alone and with others: batches have a fixed size, and each item its own value.
        """
        results: list[list[Attribution]] = []
        with cut_model(self._model, self._cuts, self._layer) as run:
            start = 0
            for part, used in self._batches(images):
                results += self._of_batch(run(part), positions[start : start + used])
                start += used
        return results

    def _of_batch(self, whole: CutPass, positions: Sequence[Sequence[Position]]) -> list[list[Attribution]]:
        results: list[list[Attribution]] = [[] for _ in positions]
        for turn in range(max(map(len, positions), default=0)):
            turns = {item: asked[turn] for item, asked in enumerate(positions) if turn < len(asked)}
            # Each item has a value of its own, so that its gradient is its own: the others are zero or another's.
            values = {item: whole.maps[(item, *position)] for item, position in turns.items()}
            gradients = whole.gradients(torch.stack(list(values.values())).sum())
            parents = {
                name: (whole.read_by(name) * gradients[name]).sum((2, 3), dtype=torch.float64)
                for name in self._read
                if name in gradients
            }
            pixels = (whole.images.detach() * whole.gradient_of_images()).sum(1).float().cpu().numpy()
            for item, (channel, _, _) in turns.items():
                attribution = Attribution(
                    value=float(values[item].detach()),
                    parents=self._joined({name: per_channel[item] for name, per_channel in parents.items()}),
                    pixels=pixels[item],
                    map=whole.maps[item, channel].detach().float().cpu().numpy(),
                )
                results[item].append(attribution)
        return results

    def _find_parents(self) -> tuple[str, ...]:
        """Return the cuts that the layer reads, in order of execution."""
        with cut_model(self._model, self._cuts, self._layer) as run:
            whole = run(self._noise)
            signs = torch.rand(whole.maps.shape, generator=torch.Generator().manual_seed(1)).to(whole.maps) - 0.5
            return tuple(
                name for name, gradient in whole.gradients((whole.maps * signs).sum()).items() if bool(gradient.any())
            )

    def _joined(self, values: Mapping[str, Tensor], *, mean: bool = False) -> PerChannel:
        """Return the values of cuts as one vector over the channels of all parents.

        Where two cuts hold channels of one parent, before and after an activation, their values are added; of means the
        later one stands.
        """
        joined = {layer.name: np.zeros(layer.channels) for layer in self.parents}
        for name, of_cut in values.items():
            owner, array = self._owners[name], of_cut.double().cpu().numpy()
            joined[owner] = array if mean else joined[owner] + array
        return np.concatenate(list(joined.values())) if joined else np.zeros(0)

    def _batches(self, images: Sequence[Pixels]) -> Iterable[tuple[Tensor, int]]:
        """Yield normalized batches of a fixed size, and how many of their images are among `images`."""
        for part, rows in pieces(len(images), self._device):
            pixels = torch.from_numpy(np.stack(images[part])).to(self._device)
            scaled = normalize(pixels.permute(0, 3, 1, 2).float() / 255, self._input)
            yield filled(scaled, rows), part.stop - part.start

    def _generated(self) -> Float[Tensor, "batch channels height width"]:
        """Return normalized noise, two images that differ and copies of the second."""
        shape = (2, self._input.channels, self._input.height, self._input.width)
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(self._device)
        return filled(noise, max(self._rows, 2))


def _same(gradients: Tensor) -> Tensor:
    """Return the gradients of the first image, summed over positions; NaN everywhere if the second's differ.

    `gradients` are (2, channels, rows, columns).
    """
    first, second = gradients.sum((2, 3), dtype=torch.float64)
    limit = LINEAR * float(torch.maximum(first.abs(), second.abs()).max())
    return first if float((first - second).abs().max()) <= limit else torch.full_like(first, float("nan"))
