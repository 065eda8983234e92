"""The optimization worker: learns a block of pictures, measures them as stored, commits one shard."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from network_atlas.config.recipe import OptimizeConfig
from network_atlas.config.schema import RunConfig
from network_atlas.models.batches import pieces
from network_atlas.models.capture import is_activation, module_of
from network_atlas.models.frozen.freeze import way_of_running
from network_atlas.models.half_size import takes_half_size
from network_atlas.models.memory import FittingBatch
from network_atlas.models.steps import ALWAYS, Steps, Trial, chosen_steps, may_compile
from network_atlas.models.worker_setup import set_up_worker
from network_atlas.optimize.finished import FinishedPicture, status_of
from network_atlas.optimize.loop import Recipe, optimize
from network_atlas.optimize.matching import UNMATCHED, Matching, Targets
from network_atlas.optimize.opened import OpenedModels
from network_atlas.optimize.slots import views_at_once
from network_atlas.pictures.parameterizations import Parameterization, parameterization, shared
from network_atlas.pictures.parameterizations.maco import magnitude_for
from network_atlas.pictures.scan_reader import ScanReader, Starts
from network_atlas.pictures.stored import measure
from network_atlas.pictures.target import Target
from network_atlas.pictures.transforms import resize
from network_atlas.plan.depth import field_px, fitted
from network_atlas.plan.pictures import Picture
from network_atlas.plan.recipes import takes_sample
from network_atlas.plan.tasks import OptimizeTask
from network_atlas.store import schemas
from network_atlas.store.paths import visualizations_directory
from network_atlas.store.png import decode_png, encode_png
from network_atlas.store.receipts import Receipt, commit
from network_atlas.store.shards import put_shard, read_rows

MEASURED_AT_ONCE = 16
"""Finished pictures that are measured together, as far as the device's memory allows."""


class OptimizeWorker:
    """Optimizes blocks; holds one model, so that it is loaded once per process."""

    def __init__(self, config: RunConfig, *, threads: int = 0) -> None:
        self._config = config
        self._device, self._model, self._store = set_up_worker(config, threads=threads)
        self._scan_reader = ScanReader(config, self._store)
        self._half: bool | None = None
        """Whether the model takes images of half its size; None until that was tried."""
        self._slots: dict[str, FittingBatch] = {}
        """How many views fit the device's memory, by recipe."""
        self._models = OpenedModels(self._store, channels=config.model.input.channels, device=self._device)
        self._measuring = FittingBatch(MEASURED_AT_ONCE)
        self._steps: dict[str, Steps] = {}
        """How steps run the network, by the number format that it computes in."""

    def run(self, task: OptimizeTask) -> Receipt:
        """Learn the task's pictures and commit them."""
        steps = self._steps_of(task)  # compiling is no part of what the pictures take
        started = time.monotonic()
        rows = self._rows(task)
        order = ("layer_index", "channel")
        file = put_shard(
            self._store, visualizations_directory(task.layer), rows, schemas.VISUALIZATIONS, sorted_by=order
        )
        keys = tuple(picture.key for picture in task.pictures)
        receipt = Receipt(
            stage="optimize",
            task=task.id,
            keys=keys,
            files=(file,),
            seconds=time.monotonic() - started,
            network="; ".join(filter(None, (way_of_running(self._model), steps.says))),
        )
        return commit(self._store, receipt)

    def _rows(self, task: OptimizeTask) -> list[dict[str, object]]:
        made_by = fitted(self._config.recipe(task.recipe), task.layer, self._config.model.input)
        config = made_by.recipe
        target = self._target(config, task)
        pictures = [self._scan_reader.with_readable_unit(picture, task) for picture in task.pictures]
        matched = {layer.name: layer for layer in (*target.layers, *task.matched)}
        learned = replace(target, layers=tuple(matched.values()))
        size = (config.height_px, config.width_px)
        predecessor = task.pictures[0].predecessor  # all pictures of a task have one, or none has
        recipe = Recipe(
            config=replace(config, steps=predecessor.steps) if predecessor else config,
            dtype=task.dtype,
            parameterization=self._parameterization(config, task),
            slots=self._slots.setdefault(task.recipe, FittingBatch(self._at_once(config))).at_once,
            pull=self._models.pull(config, task.learned, task.dtype),
            field_px=field_px(config, task.layer, self._config.model.input),
            starts=self._scan_reader.starts(target, pictures, task, size) | self._predecessors(task, size),
            matching=self._matching(target, pictures, task),
            mixture=self._models.mixture(task.learned),
            sampled=self._sampled(pictures, task) if takes_sample(config) else {},
        )
        finished = self._with_second_attempts(learned, pictures, recipe, task)
        scores = self._measuring.over(partial(_measured, target, pictures, finished), len(finished))
        # The units as they were read: 'coactive' is resolved to the two channels.
        rows = zip(task.pictures, pictures, finished, scores, strict=True)
        return [
            _row(task, picture, readable.unit.label, result, score)
            | {"depth": made_by.depth}
            | how_it_was_learned(picture, result, reads_activation=reads_activation(self._model, picture))
            for picture, readable, result, score in rows
        ]

    def _at_once(self, config: OptimizeConfig) -> int:
        return views_at_once(config.batch, self._device)

    def _matching(self, target: Target, pictures: Sequence[Picture], task: OptimizeTask) -> Matching:
        """Return what pictures are matched with: nothing for recipes that don't ask for it, and in first layers."""
        if not task.matched:
            return UNMATCHED
        earlier = replace(target, layers=task.matched)

        def of_all(halved: int) -> dict[str, Targets]:
            reader = self._scan_reader
            return {each.key: reader.match_targets(earlier, each, task, halved=halved) for each in pictures}

        return Matching(targets=of_all(1), halved=of_all(2) if target.takes_half else {})

    def _sampled(self, pictures: Sequence[Picture], task: OptimizeTask) -> dict[str, NDArray[np.float32]]:
        """Return what the dataset's images score at each picture's unit, as far as the scan says."""
        values = {picture.key: self._scan_reader.sampled(picture, task) for picture in pictures}
        return {key: scores for key, scores in values.items() if scores is not None}

    def _target(self, config: OptimizeConfig, task: OptimizeTask) -> Target:
        return Target(
            model=self._model,
            layers=(task.layer, *task.others),
            input=self._config.model.input,
            device=self._device,
            takes_half=config.coarse > 0 and self._takes_half(),
            forward=self._steps_of(task).forward,
        )

    def _steps_of(self, task: OptimizeTask) -> Steps:
        """Return how the task's steps run the network; compile it, and measure if that pays, for the first of them."""
        setting = self._config.model.compile
        if not may_compile(setting, self._device, is_large=task.is_large):
            return Steps()
        if task.dtype not in self._steps:
            trial = Trial(
                model=self._model,
                input=self._config.model.input,
                device=self._device,
                dtype=task.dtype,
                rows=self._rows_of_steps(),
                takes_half=self._is_coarse_anywhere and self._takes_half(),
            )
            self._steps[task.dtype] = trial.steps() if setting == ALWAYS else chosen_steps(trial, self._store)
        return self._steps[task.dtype]

    def _rows_of_steps(self) -> int:
        """Return the images in the largest batch that a block of pictures fills."""
        config, block = self._config.optimize, self._config.sweep.block
        views = min(self._at_once(config), block * config.transform.views)
        return max(rows for _, rows in pieces(views, self._device))

    @property
    def _is_coarse_anywhere(self) -> bool:
        """Say whether steps of some layers may show the model pictures at half its input size."""
        config = self._config.optimize
        return config.coarse > 0 or config.depth.follow

    def _predecessors(self, task: OptimizeTask, size: tuple[int, int]) -> Starts:
        """Return the pictures of the newest snapshot that the task's start from, in the recipe's (height, width)."""
        rows = (row for path in task.predecessor_files for row in read_rows(self._store, path))
        stored: dict[object, Any] = {row["key"]: row for row in rows}

        def image(key: str) -> Float[Tensor, "channels height width"]:
            pixels = decode_png(stored[key]["image"]["bytes"], channels=self._config.model.input.channels)
            maps = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
            return resize(maps, height=size[0], width=size[1])[0]

        return {picture.key: image(before.key) for picture in task.pictures if (before := picture.predecessor)}

    def _takes_half(self) -> bool:
        if self._half is None:
            self._half = takes_half_size(self._model, self._config.model.input, self._device)
        return self._half

    def _parameterization(self, config: OptimizeConfig, task: OptimizeTask) -> Parameterization:
        channels = self._config.model.input.channels
        together = task.pictures[0].together
        if together and together.kind == "aligned":
            return shared(config, channels=channels, device=self._device)
        magnitude = magnitude_for(config.parameterization, self._store, task.statistics_file)
        generator = self._models.generator(config, task.learned)
        return parameterization(
            config, channels=channels, device=self._device, magnitude=magnitude, generator=generator
        )

    def _with_second_attempts(
        self, target: Target, pictures: Sequence[Picture], recipe: Recipe, task: OptimizeTask
    ) -> list[FinishedPicture]:
        """Return the finished pictures; the dead and the diverged are tried a second time.

        The second attempt starts from noise, and reads a layer before its activation, which cuts gradients off. Its row
        says so (`how_it_was_learned`). Members of a group are not tried again: they would need the whole group.
        """
        finished = self._optimize(target, pictures, recipe, task)
        again = [
            number
            for number, result in enumerate(finished)
            if result.status != "ok" and pictures[number].together is None
        ]
        if again:
            config = fitted(self._config.recipe(task.recipe), task.layer, self._config.model.input).recipe
            second_recipe = replace(recipe, attempt=1, starts={}, config=config)
            second_target = replace(target, before_activation=True)
            second = self._optimize(second_target, [pictures[number] for number in again], second_recipe, task)
            for number, result in zip(again, second, strict=True):
                if result.status == "ok":
                    finished[number] = replace(result, attempt=2)
        return finished

    def _optimize(
        self, target: Target, pictures: Sequence[Picture], recipe: Recipe, task: OptimizeTask
    ) -> list[FinishedPicture]:
        """Return the finished pictures, learned in as many slots as fit the device's memory."""
        return self._slots[task.recipe].fit(lambda slots: optimize(target, pictures, replace(recipe, slots=slots)))


def _row(task: OptimizeTask, picture: Picture, unit: str, finished: FinishedPicture, score: float) -> dict[str, object]:
    """Return a picture's row, as `network_atlas.store.schemas.VISUALIZATIONS` has it, but for how it was learned."""
    return {
        "layer_index": task.layer.index,
        "layer": task.layer.name,
        "channel": picture.channel,
        "unit": unit,
        "key": picture.key,
        "variant": picture.variant,
        "objective": picture.objective,
        "recipe": picture.recipe,
        "image": {"bytes": encode_png(finished.pixels), "path": None},
        "opacity": {"bytes": encode_png(finished.opacity), "path": None} if finished.opacity is not None else None,
        "score": score,
        "steps": finished.steps,
        "curve": finished.curve,
        "seed": picture.seed,
        "status": status_of(finished, score),
    }


def how_it_was_learned(picture: Picture, finished: FinishedPicture, *, reads_activation: bool) -> dict[str, object]:
    """Return the columns that tell a second attempt from a first."""
    again = finished.attempt > 1
    return {
        "attempt": finished.attempt,
        "start": "noise" if again else "predecessor" if picture.predecessor else picture.start.kind,
        "started_from": picture.predecessor.key if picture.predecessor else None,
        "before_activation": again and reads_activation,
    }


def reads_activation(model: nn.Module, picture: Picture) -> bool:
    """Say whether some layer that a picture's unit is read from is an activation, such as a ReLU."""
    return any(is_activation(module_of(model, name)) for name in picture.layers)


def _measured(
    target: Target, pictures: Sequence[Picture], finished: Sequence[FinishedPicture], part: slice
) -> list[float]:
    pixels = np.stack([result.pixels for result in finished[part]])
    return measure(target, pixels, [picture.readable for picture in pictures[part]])
