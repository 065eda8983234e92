"""The worker of the stage `prior`: fits one model to images of the dataset and commits it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from network_atlas.config.declare import PRIOR
from network_atlas.config.determines import determining
from network_atlas.config.schema import RunConfig
from network_atlas.models.device import use_device
from network_atlas.plan.tasks import PriorTask
from network_atlas.priors.decoder_training import fit_decoder
from network_atlas.priors.denoiser_training import fit_denoiser
from network_atlas.priors.fitting import Checkpoints, Fitted, Fitting, encoded
from network_atlas.priors.patches import fit_patches
from network_atlas.store import schemas
from network_atlas.store.receipts import Receipt, commit
from network_atlas.store.root import Store
from network_atlas.store.shards import put_shard

FITTERS: dict[str, Callable[[Fitting], Fitted]] = {
    "denoiser": fit_denoiser,
    "patches": fit_patches,
    "decoder": fit_decoder,
}
"""Kinds of models, each with the function that fits it; `plan.learned.KINDS` has the same names."""


class PriorWorker:
    """Fits models to the dataset."""

    def __init__(self, config: RunConfig, *, threads: int = 0) -> None:
        self._config, self._threads = config, threads
        self._device = use_device(config.executor, threads=threads)
        self._store = Store.open(config.store.root)

    def run(self, task: PriorTask) -> Receipt:
        """Fit the task's model and commit it; a fitting that was stopped goes on from its last checkpoint."""
        started = time.monotonic()
        checkpoints = Checkpoints(store=self._store, key=task.key)
        fitting = Fitting(
            config=self._config,
            key=task.key,
            example_ids=task.example_ids,
            device=self._device,
            threads=self._threads,
            layer=task.layer,
            checkpoints=checkpoints,
        )
        row = self._row(task, FITTERS[task.kind](fitting))
        file = put_shard(self._store, f"priors/{task.kind}", [row], schemas.LEARNED_MODELS)
        seconds = time.monotonic() - started
        receipt = commit(
            self._store, Receipt(stage="prior", task=task.id, keys=task.keys, files=(file,), seconds=seconds)
        )
        checkpoints.remove()
        return receipt

    def _row(self, task: PriorTask, fitted: Fitted) -> dict[str, object]:
        settings = determining(getattr(self._config.priors, task.kind), PRIOR)
        return {
            "kind": task.kind,
            "key": task.key,
            "settings": json.dumps(settings, sort_keys=True),
            "report": json.dumps(dict(fitted.report), sort_keys=True),
            "images": fitted.images,
            "state": {"bytes": encoded(fitted.state)},
        }
