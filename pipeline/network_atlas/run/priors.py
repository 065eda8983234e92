"""Train the models of natural images that a run would take, and make no pictures: the stage `prior` by itself.

A run with the same settings finds them by their keys. One that was stopped goes on from its last checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from network_atlas.config.schema import RunConfig
from network_atlas.errors import ConfigError
from network_atlas.executors import open_executor
from network_atlas.plan.learned import fitted_here, prior_tasks
from network_atlas.plan.stages import STAGES
from network_atlas.run.log import RunLog
from network_atlas.run.prepare import prepare
from network_atlas.run.record import about
from network_atlas.run.running import Progress, Run
from network_atlas.store.lease import Lease
from network_atlas.store.shards import read_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A model that is in the root."""

    kind: str
    key: str
    images: int
    """Images that it learned from."""
    report: Mapping[str, float]
    """How well it fits, by the names of its kind."""
    new: bool
    """Whether it was trained just now."""


def train_priors(config: RunConfig, progress: Progress) -> tuple[Trained, ...]:
    """Train the models that the recipes of `config` take from its dataset, as far as the root lacks them.

    Raises ConfigError if they take none, RootBusyError if a run works on the root, and TasksFailedError if one can't be
    trained.
    """
    prepared = prepare(config, measured=False)
    models = fitted_here(prepared.plan)
    if not models:
        raise ConfigError(
            "no recipe of this configuration takes a model that is trained on the dataset; give one that does, such as "
            "optimize/prior=denoiser (with optimize.prior.weights=trained), optimize=patches or optimize=generator"
        )
    log = RunLog(prepared.store)
    with Lease(prepared.store, log.run, config.sweep.share), log, open_executor(config.executor) as executor:
        prepared.store.clear_staging()
        log.note("run_started", **about(prepared), run=log.run)
        current = Run(prepared=prepared, progress=progress, executor=executor, log=log)
        missing = prior_tasks(prepared.plan, current.done().prior, prepared.config)
        current.stage(STAGES["prior"], missing, total=len(models))
        current.stop_if_failed()
        done = current.done().prior
    new = {task.key for task in missing}
    files = sorted({file.path for model in models for file in done[model.key].files})
    rows: dict[Any, Any] = {row["key"]: row for path in files for row in read_rows(prepared.store, path)}
    return tuple(
        Trained(
            kind=model.kind,
            key=model.key,
            images=rows[model.key]["images"],
            report=json.loads(rows[model.key]["report"]),
            new=model.key in new,
        )
        for model in models
    )
