"""The stage that fits models to the dataset: only where asked for, once, and going on after a stop."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import quietly

from network_atlas.config.schema import RunConfig
from network_atlas.plan.estimate import Speeds, estimate
from network_atlas.plan.learned import prior_tasks
from network_atlas.priors.fitting import Checkpoints
from network_atlas.priors.stored import read_state
from network_atlas.priors.worker import PriorWorker
from network_atlas.run.inputs import StoredFiles
from network_atlas.run.prepare import prepare
from network_atlas.run.status import read_status
from network_atlas.store.manifest import latest
from network_atlas.store.results import what_is_done
from network_atlas.store.root import Store
from network_atlas.store.shards import read_rows

Composed = Callable[..., RunConfig]
SPEEDS = Speeds(step=1.0, image=1.0, measure=1.0, row=1.0, pictures={}, sources={})


def test_a_run_without_a_prior_fits_nothing(tiny: Callable[..., RunConfig]) -> None:
    plan = prepare(tiny(), measured=False).plan
    assert plan.learned == ()
    assert prior_tasks(plan, done=(), config=tiny()) == []


def test_a_run_fits_the_denoiser_and_keeps_it(prior_root: Path, composed_prior: Composed) -> None:
    store, config = Store.open(str(prior_root)), composed_prior(f'store.root="{prior_root}"')
    prepared, done = prepare(config, measured=False), what_is_done(store)
    (model,) = prepared.plan.learned
    assert model.key in done.prior
    (row,) = read_rows(store, done.prior[model.key].files[0].path)
    assert (row["kind"], row["images"]) == ("denoiser", 12)
    assert json.loads(str(row["settings"]))["steps"] == 6
    stored = StoredFiles(prepared, done).of_learned(model)
    assert stored is not None
    assert read_state(store, stored)["gives_noise"]
    manifest = latest(store)
    assert manifest is not None
    assert done.prior[model.key].files[0].path in [file.path for file in manifest.files]
    assert not store.list("priors/checkpoints")


def test_status_and_plan_count_models(prior_root: Path, composed_prior: Composed) -> None:
    stage = next(stage for stage in read_status(str(prior_root)).stages if stage.name == "prior")
    assert (stage.unit, stage.done, stage.total) == ("models", 1, 1)
    prepared = prepare(composed_prior(f'store.root="{prior_root}"'), measured=False)
    known = {"measured": set(), "speeds": SPEEDS}
    before, after = (
        estimate(prepared.config, prepared.facts, prepared.plan, done=done, **known)
        for done in (set(), what_is_done(prepared.store).keys)
    )
    costs = [next(stage for stage in each.stages if stage.name == "prior") for each in (before, after)]
    assert [(cost.total, cost.reused, cost.tasks) for cost in costs] == [(1, 0, 1), (1, 1, 0)]
    assert costs[0].seconds > 0


def test_a_further_run_fits_nothing_again(prior_root: Path, composed_prior: Composed) -> None:
    def files() -> dict[str, int]:
        return {str(path): path.stat().st_mtime_ns for path in (prior_root / "priors").rglob("*") if path.is_file()}

    before = files()
    quietly(composed_prior(f'store.root="{prior_root}"'))
    assert files() == before


def test_other_settings_or_images_are_another_model(composed_prior: Composed, tmp_path: Path) -> None:
    def key(*overrides: str) -> str:
        config = composed_prior(f'store.root="{tmp_path}"', *overrides)
        return prepare(config, measured=False).plan.learned[0].key

    keys = [key(), key("priors.denoiser.steps=7"), key("dataset.limit=11"), key("priors.denoiser.checkpoint_every=3")]
    assert len(set(keys)) == 3
    assert keys[0] == keys[3]


class Killed(Exception):
    """Ends a training in the middle, as a kill would."""


WRITE = Checkpoints.write


def write_and_die(checkpoints: Checkpoints, state: dict[str, object]) -> None:
    WRITE(checkpoints, state)
    if state["step"] == 4:
        raise Killed


def test_a_training_that_was_stopped_goes_on_and_gives_the_same_model(
    composed_prior: Composed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = []
    for stopped in (False, True):
        config = composed_prior(f'store.root="{tmp_path / str(stopped)}"')
        prepared = prepare(config, measured=False)
        (task,) = prior_tasks(prepared.plan, done=(), config=config)
        if stopped:
            with monkeypatch.context() as patched:
                patched.setattr(Checkpoints, "write", write_and_die)
                with pytest.raises(Killed):
                    PriorWorker(config, threads=1).run(task)
            assert prepared.store.list("priors/checkpoints")
        PriorWorker(config, threads=1).run(task)
        stored = StoredFiles(prepared, what_is_done(prepared.store)).of_learned(prepared.plan.learned[0])
        assert stored is not None
        states.append(read_state(prepared.store, stored))
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
