"""Match pictures with their units' best examples, while they are learned: a penalty read from the network's maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from network_atlas.config.recipe import ExamplesConfig, OptimizeConfig
from network_atlas.config.schema import InputConfig
from network_atlas.optimize.slots import ActivePicture
from network_atlas.pictures.examples import MatchTarget, difference, distribution
from network_atlas.pictures.transforms import GREY, resize, warp

SHOWN = 0.999
"""A position counts if the picture covers this much of it; the rest of a warped view is filled."""

Targets = Mapping[str, MatchTarget]
"""The examples' distributions, by the layer's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matching:
    """What pictures are matched with, by the pictures' keys; those that are in neither are matched with nothing."""

    targets: Mapping[str, Targets] = field(default_factory=dict)
    halved: Mapping[str, Targets] = field(default_factory=dict)
    """The same at half the input's size, for the steps that show pictures so."""

    def penalties(
        self,
        active: Sequence[ActivePicture],
        maps: Mapping[str, Float[Tensor, "views channels rows columns"]],
        config: OptimizeConfig,
        shown: InputConfig,
        *,
        coarse: bool,
    ) -> Float[Tensor, " batch"]:
        """Return each picture's weighted penalty: the mean over its views and layers.

        Every picture is computed by itself, in tensors of its own: sums over a batch would round differently than over
        a picture alone.
        """
        device = next(iter(maps.values())).device
        targets = self.halved if coarse else self.targets
        examples, views = config.examples, config.transform.views
        if examples is None or not targets:
            return torch.zeros(len(active), device=device)
        covered = _covered(active, config, shown, halved=2 if coarse else 1)
        # Unbound once: the gradient of a slice would be a batch of zeros for each picture.
        by_view = {name: maps[name].unbind() for name in maps}
        return torch.stack(
            [
                examples.weight
                * _penalty(
                    targets.get(entry.picture.key, {}),
                    {name: of_views[number * views : (number + 1) * views] for name, of_views in by_view.items()},
                    covered[number * views : (number + 1) * views],
                    examples,
                )
                for number, entry in enumerate(active)
            ]
        )


UNMATCHED = Matching()


def _penalty(
    targets: Targets,
    maps: Mapping[str, Sequence[Float[Tensor, "channels rows columns"]]],
    covered: Sequence[Float[Tensor, "1 1 height width"]],
    config: ExamplesConfig,
) -> Float[Tensor, ""]:
    """Return one picture's mean difference over its layers and views; zero where it is compared in no layer."""
    differences = [
        difference(distribution(view, config.match, _inside(cover, view)), target)
        for name, target in targets.items()
        for view, cover in zip(maps[name], covered, strict=True)
    ]
    return torch.stack(differences).mean() if differences else torch.zeros((), device=covered[0].device)


@torch.no_grad()
def _covered(
    active: Sequence[ActivePicture], config: OptimizeConfig, shown: InputConfig, *, halved: int
) -> list[Float[Tensor, "1 1 height width"]]:
    """Return how much of each pixel of each view the picture covers, 0..1."""
    transform = config.transform
    height, width = shown.height // halved, shown.width // halved
    warps = [step[None] for entry in active for step in entry.warps[entry.step]]
    whole = torch.ones(1, 1, height, width, device=warps[0].device)
    if transform.fill != "grey":  # then everything that is seen is a part of the picture
        return [whole] * len(warps)
    picture = torch.ones(1, 1, config.height_px, config.width_px, device=whole.device)
    share = transform.crop.start if transform.crop else 1.0
    seen = [warp(picture, each, height=height, width=width, share=share) for each in warps]
    return [(each - GREY) / (1 - GREY) for each in seen]


@torch.no_grad()
def _inside(
    covered: Float[Tensor, "1 1 height width"], maps: Float[Tensor, "channels rows columns"]
) -> Bool[Tensor, "rows columns"] | None:
    """Return the positions of maps that the picture covers; None for maps of one column (tokens, vectors)."""
    rows, columns = maps.shape[-2:]
    return None if columns == 1 else resize(covered, height=rows, width=columns)[0, 0] >= SHOWN
