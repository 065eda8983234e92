"""Show pictures to the network as one step does: warped, at full or half size, and with noise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from network_atlas.config.recipe import OptimizeConfig
from network_atlas.optimize.slots import ActivePicture
from network_atlas.pictures.objectives import climbed, scores
from network_atlas.pictures.target import Target
from network_atlas.pictures.transforms import warp

Maps = dict[str, Float[Tensor, "views maps rows columns"]]


class Viewer:
    """Reads the network's maps of pictures that are being learned, and their scores."""

    def __init__(self, target: Target, config: OptimizeConfig, dtype: str) -> None:
        self._target = target
        self._config = config
        self._dtype = dtype

    def is_coarse(self, active: ActivePicture) -> bool:
        """Say whether a picture is in the first part of its steps, in which the model sees it at half the size.

        A neuron's position means nothing at another size, and some models take one size only.
        """
        if not self._target.takes_half or active.age >= self._config.coarse * active.period:
            return False
        return not active.picture.has_place

    def read(
        self, active: Sequence[ActivePicture], images: Float[Tensor, "batch channels height width"], *, coarse: bool
    ) -> tuple[Maps, Float[Tensor, "2 batch"]]:
        """Return the maps of all views of some pictures, picture by picture, and two numbers of each picture.

        The first is what the ascent climbs, the second the score; both are means over the picture's views.
        """
        views = self._config.transform.views
        seen = self._seen(active, images, halved=2 if coarse else 1)
        with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=self._dtype == "bfloat16"):
            maps = self._target.maps(seen)
        units = [entry.picture.readable for entry in active for _ in range(views)]
        values = scores(maps, units)
        both = torch.stack([climbed(maps, units, values), values.detach()])
        return maps, both.reshape(2, len(active), views).mean(dim=2)

    def _seen(
        self, active: Sequence[ActivePicture], images: Float[Tensor, "batch channels height width"], *, halved: int
    ) -> Float[Tensor, "views channels rows columns"]:
        transform, size = self._config.transform, self._target.input
        warps = torch.cat([entry.warps[entry.step] for entry in active])
        seen = warp(
            images.repeat_interleave(transform.views, dim=0),
            warps,
            height=size.height // halved,
            width=size.width // halved,
            fill=transform.fill,
            share=transform.crop.start if transform.crop else 1.0,
        )
        if transform.noise_std == 0:
            return seen
        shape = (transform.views, *seen.shape[1:])
        noise = [torch.randn(shape, generator=entry.noise, device=seen.device) for entry in active]
        return seen + transform.noise_std * torch.cat(noise)
