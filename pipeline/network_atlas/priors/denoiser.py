"""A denoiser of Gaussian noise of a known level, after FFDNet (Zhang, Zuo, Zhang 2018).

The image is unshuffled to half its size, a map of the noise's level joins its channels, 3 x 3 convolutions follow, and
the result is shuffled back. Weights are named as in the authors' files, so that these can be read:

    denoise = Denoiser.of(torch.load("ffdnet_color.pth", weights_only=True))
    clean = denoise(noisy, levels)          # images on 0..1, (batch, channels, height, width), levels (batch,)

Our own networks give the noise instead of the clean image, as DnCNN (Zhang et al. 2017), which is learned in less time;
their files say so by the entry `gives_noise`.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from network_atlas.errors import ModelError
from network_atlas.models.batches import filled, pieces
from network_atlas.priors.fitting import State

UNSHUFFLE = 2


class Denoiser(nn.Module):
    """A function from noisy images and the level of their noise to clean images."""

    def __init__(self, channels: int, features: int, convolutions: int, *, gives_noise: bool) -> None:
        super().__init__()
        self.channels = channels
        inner = channels * UNSHUFFLE**2
        widths = [inner + 1, *[features] * (convolutions - 1), inner]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(inplace=True)]
        self.model = nn.Sequential(*layers[:-1])
        self.gives_noise: Tensor
        self.register_buffer("gives_noise", torch.tensor(gives_noise))
        self._subtracts = gives_noise

    @classmethod
    def of(cls, state: State) -> Denoiser:
        """Return the network of a state, whose sizes follow from it. Raises ModelError if it is none of FFDNet."""
        gives_noise = bool(state.get("gives_noise", torch.tensor(False)))
        weights = [value for name, value in state.items() if name.endswith(".weight")]
        try:
            channels, features = len(weights[-1]) // UNSHUFFLE**2, len(weights[0])
            network = cls(channels, features, len(weights), gives_noise=gives_noise)
            network.load_state_dict({"gives_noise": torch.tensor(gives_noise)} | dict(state))
        except (RuntimeError, IndexError, AttributeError, TypeError) as error:
            raise ModelError(
                "the weights are not those of an FFDNet, a chain of 3 x 3 convolutions named model.0, model.2, ... "
                f"whose first takes 4 channels a colour and one more: {error}"
            ) from error
        return network.eval().requires_grad_(False)

    def forward(
        self, images: Float[Tensor, "batch channels height width"], levels: Float[Tensor, " batch"]
    ) -> Float[Tensor, "batch channels height width"]:
        """Return clean images; `levels` are standard deviations of the noise, on the images' own scale of 0..1."""
        return self._cleaned(images, levels, self.model)

    def in_half_precision(
        self, images: Float[Tensor, "batch channels height width"], levels: Float[Tensor, " batch"]
    ) -> Float[Tensor, "batch channels height width"]:
        """Return clean images, as `forward` does, with all convolutions but the first and the last in bfloat16."""

        def passed(images_and_levels: Tensor) -> Tensor:
            hidden = self.model[0](images_and_levels)
            with torch.autocast(hidden.device.type, dtype=torch.bfloat16):
                hidden = self.model[1:-1](hidden)
            output: Tensor = self.model[-1](hidden.float())
            return output

        return self._cleaned(images, levels, passed)

    def _cleaned(
        self,
        images: Float[Tensor, "batch channels height width"],
        levels: Float[Tensor, " batch"],
        network: Callable[[Tensor], Tensor],
    ) -> Float[Tensor, "batch channels height width"]:
        height, width = images.shape[-2:]
        even = F.pad(images, (0, width % UNSHUFFLE, 0, height % UNSHUFFLE), mode="replicate")
        small = F.pixel_unshuffle(even, UNSHUFFLE)
        map_of_levels = levels.view(-1, 1, 1, 1).expand(-1, 1, *small.shape[-2:])
        output = F.pixel_shuffle(network(torch.cat([small, map_of_levels], dim=1)), UNSHUFFLE)[..., :height, :width]
        return images - output if self._subtracts else output

    @torch.no_grad()
    def in_fixed_batches(
        self,
        images: Float[Tensor, "batch channels height width"],
        levels: Float[Tensor, " batch"],
        *,
        dtype: str = "float32",
    ) -> Float[Tensor, "batch channels height width"]:
        """Return clean images, each with the same bits whatever else is in the batch (`models.batches`).

        `dtype` 'bfloat16' is `in_half_precision`, for a network that gives the noise. One that gives the image stays
        in float32: rounded, it changes every image's brightness by the same little (the packaged one by .0011), which a
        pull divides by the square of the noise, and pictures fade to white.
        """
        network, parts = (self.in_half_precision if dtype == "bfloat16" and self._subtracts else self), []
        for part, rows in pieces(len(images), images.device):
            clean = network(filled(images[part], rows), _filled_levels(levels[part], rows))
            parts.append(clean[: part.stop - part.start])
        return torch.cat(parts)


def _filled_levels(levels: Float[Tensor, " images"], rows: int) -> Float[Tensor, " rows"]:
    return torch.cat([levels, levels[-1:].expand(rows - len(levels))])
