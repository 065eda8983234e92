"""The optimization worker: makes a block of pictures, measures them as stored, commits one shard."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from network_atlas.config.recipe import OptimizeConfig
from network_atlas.config.schema import RunConfig
from network_atlas.models.device import use_device
from network_atlas.models.load import load_model
from network_atlas.models.memory import FittingBatch
from network_atlas.models.prepared import on_device
from network_atlas.optimize.loop import Made, Recipe, optimize
from network_atlas.pictures.magnitude import magnitude_for
from network_atlas.pictures.parameterizations import Parameterization, parameterization, shared
from network_atlas.pictures.scanned import Scanned
from network_atlas.pictures.stored import measure
from network_atlas.pictures.target import Target, takes_half_size
from network_atlas.plan.pictures import Picture
from network_atlas.plan.tasks import OptimizeTask
from network_atlas.store import schemas
from network_atlas.store.paths import Store, visualizations_directory
from network_atlas.store.png import encode_png
from network_atlas.store.receipts import Receipt, commit
from network_atlas.store.shards import put_shard

GREY_LEVELS = 8
"""A picture whose darkest and brightest values are no further apart than this never left its grey start."""
SATURATED_SHARE = 0.5
"""A picture with more of its values than this at an end of the range is saturated."""
MEASURED_AT_ONCE = 16


class OptimizeWorker:
    """Optimizes blocks; holds one model, so that it is loaded once per process."""

    def __init__(self, config: RunConfig, *, threads: int = 0) -> None:
        self._config = config
        self._device = use_device(config.executor, threads=threads)
        self._model = on_device(load_model(config.model), self._device)
        self._store = Store.open(config.store.root)
        self._scanned = Scanned(config, self._store)
        self._half: bool | None = None
        self._slots: dict[str, FittingBatch] = {}
        """FittingBatch for views, by recipe."""
        self._measuring = FittingBatch(MEASURED_AT_ONCE)

    def run(self, task: OptimizeTask) -> Receipt:
        """Make the task's pictures and commit them."""
        started = time.monotonic()
        rows = self._rows(task)
        order = ("layer_index", "channel")
        file = put_shard(
            self._store, visualizations_directory(task.layer), rows, schemas.VISUALIZATIONS, sorted_by=order
        )
        keys = tuple(picture.key for picture in task.pictures)
        receipt = Receipt(stage="optimize", task=task.id, keys=keys, files=(file,), seconds=time.monotonic() - started)
        return commit(self._store, receipt)

    def _rows(self, task: OptimizeTask) -> list[dict[str, object]]:
        target = Target(
            model=self._model,
            layers=(task.layer, *task.others),
            input=self._config.model.input,
            device=self._device,
            takes_half=self._config.recipe(task.recipe).coarse > 0 and self._takes_half(),
        )
        pictures = [self._scanned.resolved(picture, task.layer, task.scan_files) for picture in task.pictures]
        config = self._config.recipe(task.recipe)
        recipe = Recipe(
            config=config,
            dtype=task.dtype,
            learned=self._learned(config, task),
            slots=self._slots.setdefault(task.recipe, FittingBatch(config.batch)).at_once,
            starts=self._scanned.starts(target, pictures, task, (config.height_px, config.width_px)),
        )
        made = self._make(target, pictures, recipe, task)
        scores = self._measuring.over(partial(_measured, target, pictures, made), len(made))
        labels = [picture.unit.label for picture in pictures]
        return [self._row(task, *row) for row in zip(task.pictures, labels, made, scores, strict=True)]

    def _takes_half(self) -> bool:
        if self._half is None:
            self._half = takes_half_size(self._model, self._config.model.input, self._device)
        return self._half

    def _learned(self, config: OptimizeConfig, task: OptimizeTask) -> Parameterization:
        channels = self._config.model.input.channels
        together = task.pictures[0].together
        if together and together.kind == "aligned":
            return shared(config, channels=channels, device=self._device)
        magnitude = magnitude_for(config.parameterization, self._store, task.statistics_file)
        return parameterization(config, channels=channels, device=self._device, magnitude=magnitude)

    def _make(self, target: Target, pictures: Sequence[Picture], recipe: Recipe, task: OptimizeTask) -> list[Made]:
        """Return the pictures; what died or broke is tried once more, from another start and before the activation."""
        made = self._fitting(target, pictures, recipe, task)
        again = [place for place, one in enumerate(made) if one.status != "ok" and pictures[place].together is None]
        if again:
            other, deeper = replace(recipe, attempt=1, starts={}), replace(target, before_activation=True)
            second = self._fitting(deeper, [pictures[place] for place in again], other, task)
            for place, one in zip(again, second, strict=True):
                made[place] = one if one.status == "ok" else made[place]
        return made

    def _fitting(self, target: Target, pictures: Sequence[Picture], recipe: Recipe, task: OptimizeTask) -> list[Made]:
        """Return the pictures, in as many slots as the device's memory has room for."""
        return self._slots[task.recipe].fit(lambda slots: optimize(target, pictures, replace(recipe, slots=slots)))

    @staticmethod
    def _row(task: OptimizeTask, picture: Picture, unit: str, made: Made, score: float) -> dict[str, object]:
        return {
            "layer_index": task.layer.index,
            "layer": task.layer.name,
            "channel": picture.channel,
            "unit": unit,
            "key": picture.key,
            "variant": picture.variant,
            "objective": picture.objective,
            "recipe": picture.recipe,
            "image": {"bytes": encode_png(made.pixels), "path": None},
            "opacity": {"bytes": encode_png(made.opacity), "path": None} if made.opacity is not None else None,
            "score": score,
            "steps": made.steps,
            "curve": made.curve,
            "seed": picture.seed,
            "status": status_of(made, score),
        }


def _measured(target: Target, pictures: Sequence[Picture], made: Sequence[Made], part: slice) -> list[float]:
    pixels = np.stack([one.pixels for one in made[part]])
    return measure(target, pixels, [picture.readable for picture in pictures[part]])


def status_of(made: Made, score: float) -> str:
    """Return what became of a picture: 'dead', 'diverged', 'grey', 'saturated' or 'ok'."""
    if made.status != "ok":
        return made.status
    if not math.isfinite(score):
        return "diverged"
    if int(made.pixels.max()) - int(made.pixels.min()) <= GREY_LEVELS:
        return "grey"
    return "saturated" if saturated_share(made.pixels) > SATURATED_SHARE else "ok"


def saturated_share(pixels: NDArray[np.uint8]) -> float:
    """Return the share of values at either end of the range."""
    return float(((pixels <= 1) | (pixels >= 254)).mean())
