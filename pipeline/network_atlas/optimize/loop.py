"""The optimization loop: pictures of one recipe flow through a fixed number of slots.

Each picture has its own score, optimizer state, warps, random numbers and stop. When a group of pictures is done (most
groups are one picture) the next takes its slots, so that the batch stays full to the end. Nothing couples pictures of
different groups: the loss is the sum of their scores, and the rules of ascent work element by element. So a picture
learned alone and in a batch of 32 agree. The forward pass stops behind the last layer that is read.

    finished = optimize(target, pictures, recipe)      # in the pictures' order
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from network_atlas.config.recipe import OptimizeConfig, TransformConfig
from network_atlas.optimize.ascent import ascent, conditioned
from network_atlas.optimize.chain import Chains
from network_atlas.optimize.finished import FinishedPicture
from network_atlas.optimize.groups import group_penalty
from network_atlas.optimize.matching import UNMATCHED, Matching
from network_atlas.optimize.pull import RATIOS, Pull
from network_atlas.optimize.slots import ActivePicture, Slots, thinned
from network_atlas.optimize.views import Maps, Viewer
from network_atlas.pictures.parameterizations import Parameterization
from network_atlas.pictures.parameterizations.generated import Generated
from network_atlas.pictures.parameterizations.shared import Shared
from network_atlas.pictures.patches import PatchMixture
from network_atlas.pictures.randomness import generator_of
from network_atlas.pictures.regularizers import penalty
from network_atlas.pictures.stored import opacity_of, quantize
from network_atlas.pictures.target import Target
from network_atlas.pictures.transforms import draw_warps
from network_atlas.plan.pictures import Picture, grouped

NOT_ASCENT = ("parameters", "broken", "moved", "opacity", RATIOS)
"""Tensors of a slot that are not the state of the rule of ascent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All that the loop needs to know about how pictures are learned."""

    config: OptimizeConfig
    dtype: str
    """'float32' or 'bfloat16': what the network computes in."""
    parameterization: Parameterization
    slots: int
    """Views of pictures per step."""
    starts: Mapping[str, Float[Tensor, "channels height width"]] = field(default_factory=dict)
    """Images on 0..1 that pictures start from, by the pictures' keys; others start from noise."""
    pull: Pull | None = None
    """The prior's part of each step; None without a prior."""
    field_px: float = math.inf
    """Side of the layer's receptive field, in pixels of the picture, where the recipe follows it."""
    attempt: int = 0
    """Second attempts draw other random numbers."""
    matching: Matching = UNMATCHED
    """The examples that pictures are matched with."""
    mixture: PatchMixture | None = None
    """Of the dataset's patches, for recipes that compare the picture's with them."""
    sampled: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """What the dataset's images score at the pictures' units, (examples,), by the pictures' keys, for chains."""


def optimize(target: Target, pictures: Sequence[Picture], recipe: Recipe) -> list[FinishedPicture]:
    """Return the finished pictures, in the order of `pictures`."""
    loop = _Loop(target, recipe)
    waiting = deque(grouped(pictures))
    with torch.enable_grad():
        while waiting or loop.slots.active:
            # Only the first in line: a large group that smaller ones overtake might never find enough free slots.
            while waiting and loop.has_space(len(waiting[0])):
                loop.add(waiting.popleft())
            loop.step()
            loop.collect()
    return [loop.finished[picture.key] for picture in pictures]


class _Loop:
    """Pictures on their way through the slots, and those that are finished, by key."""

    def __init__(self, target: Target, recipe: Recipe) -> None:
        self.slots = Slots()
        self.finished: dict[str, FinishedPicture] = {}
        self._target = target
        self._recipe = recipe
        self._config = recipe.config
        self._rule = ascent(recipe.config)
        chain = recipe.config.chain
        self._chains = Chains(chain, recipe.config.steps, self._start) if chain else None
        self._viewer = Viewer(target, recipe.config, recipe.dtype)

    def has_space(self, count: int) -> bool:
        """Say whether a group of this size fits beside those under way; any group fits into empty slots."""
        count = 1 if self._chains else count  # its pictures are samples of one chain
        views = (len(self.slots.active) + count) * self._config.transform.views
        return not self.slots.active or views <= self._recipe.slots

    def add(self, group: Sequence[Picture]) -> None:
        """Put a group into slots, each picture at its own start; a group of a chain's samples is one chain."""
        active = [self._active(picture, group) for picture in (group[:1] if self._chains else group)]
        start = torch.cat([self._first(entry) for entry in active])
        flags = torch.zeros(len(active), dtype=torch.bool, device=start.device)
        tensors = {"parameters": start, "broken": flags, "moved": flags}
        if self._config.opacity:
            size = (self._config.height_px, self._config.width_px)
            tensors["opacity"] = torch.zeros(len(active), *size, device=start.device)
        if self._recipe.pull:
            tensors[RATIOS] = torch.zeros(len(active), device=start.device)
        self.slots.add(active, tensors | (self._chains.state(start) if self._chains else self._rule.start(start)))

    def _first(self, entry: ActivePicture) -> Float[Tensor, "1 ..."]:
        if self._chains and entry.sampling:
            return self._chains.started(entry.sampling)
        return self._start(entry.picture, generator_of(entry.picture.key, "start", self._recipe.attempt))

    def _active(self, picture: Picture, group: Sequence[Picture]) -> ActivePicture:
        config, device, attempt = self._config, self._target.device, self._recipe.attempt
        generator = generator_of(picture.group if is_aligned(picture) else picture.key, "warps", attempt)
        size = (config.height_px, config.width_px)
        transform, starts = transform_for(picture, self._recipe), config.chain.restarts if config.chain else 1
        return ActivePicture(
            picture=picture,
            warps=torch.cat([draw_warps(transform, generator, config.steps, size) for _ in range(starts)]).to(device),
            sampling=self._chains.sampling(group, attempt, device) if self._chains else None,
            noise=self._generator(picture, "noise"),
            prior=self._generator(picture, "prior") if self._recipe.pull else None,
        )

    def _generator(self, picture: Picture, purpose: str) -> torch.Generator:
        return generator_of(picture.key, purpose, self._recipe.attempt, self._target.device)

    def _start(self, picture: Picture, generator: torch.Generator) -> Float[Tensor, "1 ..."]:
        image = self._recipe.starts.get(picture.key)
        if image is not None:
            return self._recipe.parameterization.parameters_of(image[None].to(self._target.device))
        return self._recipe.parameterization.start([generator])

    def step(self) -> None:
        """Take one step with all pictures in the slots."""
        tensors = self.slots.tensors
        parameters = tensors["parameters"].requires_grad_()
        images = self._recipe.parameterization.image(parameters)
        (climbed, scores, matching), between = self._scores(images)
        signs = torch.tensor([active.picture.sign for active in self.slots.active], device=images.device)
        penalties = _score_sizes(scores, climbed.detach()) * (self._penalties(images) + matching)
        # A sum, not a mean: how many pictures share the batch must not change the size of anyone's gradient.
        aim = (signs * climbed).sum() - between - penalties.sum()
        gradient, *seen = self._gradients(aim, parameters, images)
        tensors["parameters"] = parameters.detach()
        self._move(gradient)
        if seen:
            # A broken picture's NaN must not enter: its opacity is stored with what it was before.
            tensors["opacity"] += seen[0].nan_to_num().abs().sum(dim=1)
        self.slots.note(scores, climbed.detach())
        if self._chains:
            with torch.no_grad():
                self._chains.collect(self.slots.active, tensors, self._recipe.parameterization.image)

    def _penalties(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, " batch"]:
        """Return each picture's penalty on what its pixels are."""
        total, mixture, patches = penalty(images, self._config.regularizers), self._recipe.mixture, self._config.patches
        if mixture is None or patches is None:
            return total
        # Each picture by itself: products of a batch of patches would round differently than those of a picture alone.
        rare = [
            mixture.penalty(image, step=entry.step)
            for image, entry in zip(images.unbind(), self.slots.active, strict=True)
        ]
        return total + patches.weight * torch.stack(rare)

    def _gradients(self, aim: Tensor, parameters: Tensor, images: Tensor) -> tuple[Tensor, ...]:
        """Return the gradient that the parameters climb, and that of the aim alone by the images if it is kept."""
        if self._recipe.pull is None:
            return torch.autograd.grad(aim, [parameters, images] if self._config.opacity else [parameters])
        (seen,) = torch.autograd.grad(aim, [images])  # keeps the way from the images to the parameters
        pulled = self._recipe.pull.added(seen, images, self.slots.active, self.slots.tensors[RATIOS])
        (gradient,) = torch.autograd.grad([images], [parameters], grad_outputs=[pulled])
        return (gradient, seen) if self._config.opacity else (gradient,)

    def _scores(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> tuple[Float[Tensor, "3 batch"], Float[Tensor, ""]]:
        """Return three numbers of each picture, and the sum of the penalties between pictures of one group.

        The numbers are what it climbs, its score, and the penalty on what its unit's best examples are unlike.
        """
        numbers = torch.zeros(3, len(images), device=images.device)
        between = torch.zeros((), device=images.device)
        for coarse in (False, True):
            # The members of a group are of one age and recipe, so the first speaks for all.
            groups = [group for group in self.slots.groups if self._is_coarse(group[0]) is coarse]
            slots = [slot for group in groups for slot in group]
            if slots:
                active = [self.slots.active[slot] for slot in slots]
                maps, part = self._viewer.read(active, images[slots], coarse=coarse)
                matching = self._recipe.matching.penalties(
                    active, maps, self._config, self._target.input, coarse=coarse
                )
                part = torch.cat([part, matching[None]])
                numbers = numbers.index_copy(1, torch.tensor(slots, device=images.device), part)
                between = between + self._group_penalty(maps, groups, slots)
        return numbers, between

    def _is_coarse(self, slot: int) -> bool:
        return self._viewer.is_coarse(self.slots.active[slot])

    def _group_penalty(self, maps: Maps, groups: Sequence[Sequence[int]], slots: Sequence[int]) -> Float[Tensor, ""]:
        """Return the sum of the groups' penalties, from pictures' first views; `maps` are in the order of `slots`."""
        views = self._config.transform.views
        pictures = [[self.slots.active[slot].picture for slot in group] for group in groups]
        rows = [[slots.index(slot) * views for slot in group] for group in groups]
        return group_penalty(maps, pictures, rows, self._config.together)

    @torch.no_grad()
    def _move(self, gradient: Float[Tensor, "batch ..."]) -> None:
        """Move every picture uphill; one whose gradient is not finite stays where it is, now and later."""
        tensors, parameterization = self.slots.tensors, self._recipe.parameterization
        flat = gradient.flatten(1)
        # Flags on the device: reading one here would make the processor wait for the GPU at every step.
        largest = flat.abs().amax(dim=1)  # NaN where any is
        tensors["broken"] |= ~largest.isfinite()
        tensors["moved"] |= largest != 0
        whole = (~tensors["broken"]).view(-1, *[1] * (gradient.ndim - 1))
        # where, not a product: NaN times zero is NaN.
        clean = torch.where(whole, gradient, torch.zeros_like(gradient))
        if isinstance(parameterization, Shared):
            clean = parameterization.tied(clean, self.slots.groups)
        # The rule changes these tensors in place, so they need not be written back.
        state = {name: tensor for name, tensor in tensors.items() if name not in NOT_ASCENT}
        directed = conditioned(clean, self._config.gradient)
        if self._chains:
            moved = self._chains.step(tensors["parameters"], directed, state, self.slots.active)
            tensors["parameters"] = torch.where(whole, moved, tensors["parameters"])
        else:
            step = self._rule.step(directed, state)
            tensors["parameters"] += torch.where(whole, step, torch.zeros_like(step))
        if isinstance(parameterization, Generated):
            tensors["parameters"] = parameterization.kept(tensors["parameters"])

    def collect(self) -> None:
        """Take finished groups out of their slots."""
        done = [group for group in self.slots.groups if self.slots.is_done(group, self._config.stop)]
        slots = [slot for group in done for slot in group]
        if slots:
            self.slots.read_scores()
            self._finish(slots)
            self.slots.remove(slots)

    @torch.no_grad()
    def _finish(self, slots: Sequence[int]) -> None:
        tensors = {name: tensor[list(slots)] for name, tensor in self.slots.tensors.items()}
        # The stored picture is the one after the last step; its score is measured later, from these very pixels.
        pixels = quantize(self._recipe.parameterization.image(tensors["parameters"]))
        opacity = opacity_of(tensors["opacity"]) if "opacity" in tensors else [None] * len(slots)
        moved = tensors["moved"].tolist()
        for number, slot in enumerate(slots):
            active = self.slots.active[slot]
            picture = FinishedPicture(
                pixels=pixels[number],
                opacity=opacity[number],
                steps=active.step,
                curve=thinned(active.history),
                status="diverged" if active.broken else "ok" if moved[number] else "dead",
            )
            self.finished |= self._pictures(active, picture)

    def _pictures(self, active: ActivePicture, last: FinishedPicture) -> dict[str, FinishedPicture]:
        """Return the pictures that come of one under way, by key: several of a chain."""
        if self._chains is None:
            return {active.picture.key: last}
        return self._chains.finished(active, last, self._target, self._recipe.sampled.get(active.picture.key))


def transform_for(picture: Picture, recipe: Recipe) -> TransformConfig:
    """Return the transform from which a picture's warps are drawn: that of the recipe, but for what has a place.

    A neuron is shifted by half of its receptive field at most. Neither neurons nor interpolations, whose members must
    be warped alike, go all the way round.
    """
    transform, limit = recipe.config.transform, math.inf
    if not is_aligned(picture):
        if not picture.has_place:
            return transform
        limit = recipe.field_px / 2
    # 'grey' as in every draw that does not go round: what is shown outside is decided when the picture is seen.
    return replace(transform, fill="grey", jitter_px=min(transform.jitter_px, limit))


def is_aligned(picture: Picture) -> bool:
    """Say whether a picture is one of an interpolation, whose pictures are compared position by position."""
    return picture.together is not None and picture.together.kind == "aligned"


def _score_sizes(scores: Float[Tensor, " batch"], climbed: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
    """Return the size of each score that penalties are multiplied by: the ascent then follows log |score| - penalty.

    Scores of 4 and of 100 occur in one network, so that a penalty beside the bare score would erase one picture and
    not touch another. Where a logarithm is climbed already, the size is 1.
    """
    return torch.where(climbed == scores, scores.abs(), torch.ones_like(scores))
