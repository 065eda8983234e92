"""The optimization loop: pictures of one recipe flow through a fixed number of slots.

Each picture has its own score, optimizer state, warps, random numbers and stop. When a group of pictures is done (most
groups are one picture) the next takes its place, so that the batch stays full to the end. Nothing couples pictures of
different groups: the loss is the sum of their scores, the rules of ascent work element by element. A picture made alone
and in a batch of 32 agree. The forward pass stops behind the last layer that is read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from network_atlas.config.recipe import OptimizeConfig
from network_atlas.optimize.ascent import ascent, conditioned
from network_atlas.optimize.groups import pull
from network_atlas.optimize.slots import Item, Slots, thinned
from network_atlas.pictures.objectives import scores
from network_atlas.pictures.parameterizations import Parameterization
from network_atlas.pictures.parameterizations.shared import Shared
from network_atlas.pictures.randomness import generator_of
from network_atlas.pictures.regularizers import penalty
from network_atlas.pictures.stored import opacity_of, quantize
from network_atlas.pictures.target import Target
from network_atlas.pictures.transforms import draw_warps, warp
from network_atlas.plan.pictures import Picture, grouped
from network_atlas.units import Neuron, terms_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A finished picture."""

    pixels: NDArray[np.uint8]
    """Shape (height, width, channels)."""
    opacity: NDArray[np.uint8] | None
    """How much each pixel mattered, shape (height, width), where the recipe keeps it."""
    steps: int
    curve: list[dict[str, float]]
    status: str
    """'ok'; 'dead' when no step had a gradient, 'diverged' when one was not finite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How pictures are made, ready to use."""

    config: OptimizeConfig
    dtype: str
    learned: Parameterization
    slots: int
    """Views of pictures per forward pass."""
    starts: Mapping[str, Tensor] = field(default_factory=dict)
    """Picture key to the image (channels, height, width) on 0..1 that it starts from; others start from noise."""
    attempt: int = 0
    """Second attempts draw other random numbers, and start further from grey."""


def optimize(target: Target, pictures: Sequence[Picture], recipe: Recipe) -> list[Made]:
    """Return the finished pictures, in the order given."""
    climb = _Climb(target, recipe)
    waiting = deque(grouped(pictures))
    with torch.enable_grad():
        while waiting or climb.slots.items:
            while waiting and climb.has_room(len(waiting[0])):
                climb.add(waiting.popleft())
            climb.step()
            climb.collect()
    return [climb.made[picture.key] for picture in pictures]


class _Climb:
    """One pass of pictures through the slots."""

    def __init__(self, target: Target, recipe: Recipe) -> None:
        self.slots = Slots()
        self.made: dict[str, Made] = {}
        self._target = target
        self._recipe = recipe
        self._config = recipe.config
        self._rule = ascent(recipe.config)

    def has_room(self, count: int) -> bool:
        """Say whether a group of this size fits beside those under way; one always fits into empty slots."""
        views = (len(self.slots.items) + count) * self._config.transform.views
        return not self.slots.items or views <= self._recipe.slots

    def add(self, group: Sequence[Picture]) -> None:
        """Put a group into slots, each picture at its own start."""
        items = [self._item(picture, group) for picture in group]
        start = torch.cat([self._start(picture) for picture in group])
        tensors = {"parameters": start, "broken": torch.zeros(len(group), dtype=torch.bool, device=start.device)}
        tensors["moved"] = torch.zeros_like(tensors["broken"])
        if self._config.opacity:
            tensors["opacity"] = torch.zeros(
                len(group), self._config.height_px, self._config.width_px, device=start.device
            )
        self.slots.add(items, tensors | self._rule.start(start))

    def _item(self, picture: Picture, group: Sequence[Picture]) -> Item:
        config = self._config
        # Neighbours of an interpolation are compared position by position, so they are warped alike.
        aligned = picture.together is not None and picture.together.kind == "aligned"
        warped = generator_of(picture.group if aligned else picture.key, "warps", self._recipe.attempt)
        size = (config.height_px, config.width_px)
        return Item(
            picture=picture,
            warps=draw_warps(config.transform, warped, config.steps, size).to(self._target.device),
            noise=generator_of(picture.key, "noise", self._recipe.attempt, self._target.device),
        )

    def _start(self, picture: Picture) -> Tensor:
        image = self._recipe.starts.get(picture.key)
        if image is not None:
            return self._recipe.learned.parameters_of(image[None].to(self._target.device))
        return self._recipe.learned.start([generator_of(picture.key, "start", self._recipe.attempt)])

    def step(self) -> None:
        """Take one step with all items."""
        tensors = self.slots.tensors
        parameters = tensors["parameters"].requires_grad_()
        images = self._recipe.learned.image(parameters)
        values, pulled = self._values(images)
        signs = torch.tensor([item.picture.sign for item in self.slots.items], device=images.device)
        aim = (signs * values).sum() - pulled - penalty(images, self._config.regularizers).sum()
        gradient, *seen = torch.autograd.grad(aim, [parameters, images] if self._config.opacity else [parameters])
        tensors["parameters"] = parameters.detach()
        self._move(gradient)
        if seen:
            tensors["opacity"] += seen[0].nan_to_num().abs().sum(dim=1)
        self.slots.note(values.detach())

    def _values(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return each item's score, (items,), and how much the groups' companions pull, in all."""
        values = torch.zeros(len(images), device=images.device)
        pulled = torch.zeros((), device=images.device)
        for coarse in (False, True):
            groups = [group for group in self.slots.groups if self._is_coarse(self.slots.items[group[0]]) is coarse]
            places = [place for group in groups for place in group]
            if places:
                maps, own = self._read([self.slots.items[place] for place in places], images[places], coarse=coarse)
                values = values.index_put((torch.tensor(places, device=images.device),), own)
                pulled = pulled + self._pulled(maps, groups, places)
        return values, pulled

    def _is_coarse(self, item: Item) -> bool:
        """Say whether an item is in the first part of its steps, in which the model sees it at half the size.

        A neuron's position means nothing at another size, and some models take one size only.
        """
        if not self._target.takes_half or item.step >= self._config.coarse * len(item.warps):
            return False
        return not any(isinstance(term.unit, Neuron) for term in terms_of(item.picture.readable))

    def _read(self, items: Sequence[Item], images: Tensor, *, coarse: bool) -> tuple[dict[str, Tensor], Tensor]:
        """Return the maps of all views of some items, and the items' scores: the mean over their views."""
        views = self._config.transform.views
        warps = torch.cat([item.warps[item.step] for item in items])
        seen = self._seen(items, images.repeat_interleave(views, dim=0), warps, halved=2 if coarse else 1)
        with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=self._recipe.dtype == "bfloat16"):
            maps = self._target.maps(seen)
        units = [item.picture.readable for item in items for _ in range(views)]
        return maps, scores(maps, units).reshape(len(items), views).mean(dim=1)

    def _pulled(self, maps: dict[str, Tensor], groups: Sequence[Sequence[int]], places: Sequence[int]) -> Tensor:
        """Return the pull within groups, whose items' first views stand in `maps` in the order of `places`."""
        views = self._config.transform.views
        pictures = [[self.slots.items[place].picture for place in group] for group in groups]
        rows = [[places.index(place) * views for place in group] for group in groups]
        return pull(maps, pictures, rows, self._config.together)

    def _seen(self, items: Sequence[Item], images: Tensor, warps: Tensor, *, halved: int) -> Tensor:
        """Return what the model is shown: warped to its input size, with noise of each item's own."""
        transform, size = self._config.transform, self._target.input
        share = transform.crop.start if transform.crop else 1.0
        height, width = size.height // halved, size.width // halved
        warped = warp(images, warps, height=height, width=width, fill=transform.fill, share=share)
        if transform.noise_std == 0:
            return warped
        shape = (transform.views, *warped.shape[1:])
        noise = [torch.randn(shape, generator=item.noise, device=warped.device) for item in items]
        return warped + transform.noise_std * torch.cat(noise)

    @torch.no_grad()
    def _move(self, gradient: Tensor) -> None:
        """Move every item uphill; one whose gradient is not finite stays where it is, now and later."""
        tensors, learned = self.slots.tensors, self._recipe.learned
        flat = gradient.flatten(1)
        tensors["broken"] |= ~flat.isfinite().all(dim=1)
        tensors["moved"] |= (flat != 0).any(dim=1)
        whole = (~tensors["broken"]).view(-1, *[1] * (gradient.ndim - 1))
        clean = torch.where(whole, gradient, torch.zeros_like(gradient))
        if isinstance(learned, Shared):
            clean = learned.tied(clean, self.slots.groups)
        state = {name: tensors[name] for name in tensors if name not in ("parameters", "broken", "moved", "opacity")}
        step = self._rule.step(conditioned(clean, self._config.gradient), state)
        tensors["parameters"] += torch.where(whole, step, torch.zeros_like(step))

    def collect(self) -> None:
        """Take finished groups out of their slots."""
        done = [
            group
            for group in self.slots.groups
            if all(self.slots.items[place].is_done(self._config.stop) for place in group)
        ]
        places = [place for group in done for place in group]
        if places:
            self.slots.read_scores()
            self._finish(places)
            self.slots.remove(places)

    @torch.no_grad()
    def _finish(self, places: Sequence[int]) -> None:
        tensors = {name: tensor[list(places)] for name, tensor in self.slots.tensors.items()}
        pixels = quantize(self._recipe.learned.image(tensors["parameters"]))
        opacity = opacity_of(tensors["opacity"]) if "opacity" in tensors else [None] * len(places)
        moved = tensors["moved"].tolist()
        for number, place in enumerate(places):
            item = self.slots.items[place]
            self.made[item.picture.key] = Made(
                pixels=pixels[number],
                opacity=opacity[number],
                steps=item.step,
                curve=thinned(item.history),
                status="diverged" if item.broken else "ok" if moved[number] else "dead",
            )
