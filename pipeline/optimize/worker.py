"""The optimization worker: makes a block of pictures, measures them as stored, commits one shard."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.config.schema import RunConfig
from pipeline.models.device import device_of, use_threads
from pipeline.models.load import load_model, on_device
from pipeline.optimize.loop import Target, measure, optimize
from pipeline.plan.tasks import OptimizeTask, Picture
from pipeline.store import schemas
from pipeline.store.images import encode_png
from pipeline.store.paths import Store, visualizations_directory
from pipeline.store.receipts import Receipt, commit
from pipeline.store.shards import put_shard
from pipeline.units import LayerSpec

GREY_LEVELS = 8
"""A picture whose darkest and brightest values are no further apart than this never left its grey start."""


class OptimizeWorker:
    """Optimizes blocks; holds one model, so that it is loaded once per process."""

    def __init__(self, config: RunConfig, *, threads: int = 0) -> None:
        use_threads(threads)
        self._config = config
        self._device = device_of(config.executor)
        self._model = on_device(load_model(config.model), self._device)
        self._store = Store.open(config.store.root)
        self._batch = config.optimize.batch

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
        target = Target(model=self._model, layer=task.layer, input=self._config.model.input, device=self._device)
        rows: list[dict[str, object]] = []
        while len(rows) < len(task.pictures):
            batch = task.pictures[len(rows) : len(rows) + self._batch]
            pixels = self._try(target, batch, task.dtype)
            if pixels is None:
                self._batch = max(1, len(batch) // 2)
                continue
            values = measure(target, pixels, batch)
            rows += [self._row(task.layer, *made) for made in zip(batch, pixels, values, strict=True)]
        return rows

    def _try(self, target: Target, batch: Sequence[Picture], dtype: str) -> NDArray[np.uint8] | None:
        """Return the pictures, or None when they don't fit the device's memory together."""
        try:
            return optimize(target, batch, self._config.optimize, dtype)
        except torch.OutOfMemoryError:
            if len(batch) == 1:
                raise
        # Outside the except block, so that the traceback no longer holds the tensors.
        torch.cuda.empty_cache()
        return None

    def _row(self, layer: LayerSpec, picture: Picture, pixels: NDArray[np.uint8], score: float) -> dict[str, object]:
        return {
            "layer_index": layer.index,
            "layer": layer.name,
            "channel": picture.unit.channel,
            "unit": picture.unit.label,
            "key": picture.key,
            "variant": picture.variant,
            "objective": picture.objective,
            "image": {"bytes": encode_png(pixels), "path": None},
            "score": score,
            "steps": self._config.optimize.steps,
            "seed": picture.seed,
            "status": status_of(pixels, score),
        }


def status_of(pixels: NDArray[np.uint8], score: float) -> str:
    """Return what became of a picture: 'diverged', 'grey' or 'ok'."""
    if not math.isfinite(score):
        return "diverged"
    return "grey" if int(pixels.max()) - int(pixels.min()) <= GREY_LEVELS else "ok"
