"""The decoder of a layer's activations: how it is trained, and pictures that it draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from network_atlas.config.schema import RunConfig
from network_atlas.errors import ConfigError
from network_atlas.optimize.worker import OptimizeWorker
from network_atlas.plan.learned import prior_tasks
from network_atlas.plan.tasks import PriorTask
from network_atlas.priors.decoder import Decoder, doublings
from network_atlas.priors.decoder_training import fit_decoder
from network_atlas.priors.fitting import Checkpoints, Fitted, Fitting
from network_atlas.priors.worker import PriorWorker
from network_atlas.run.inputs import StoredFiles
from network_atlas.run.prepare import prepare
from network_atlas.store.results import what_is_done
from network_atlas.store.root import Store

Tiny = Callable[..., RunConfig]
DECODED = [
    "optimize/parameterization=generator",
    "optimize.ascent=mean",
    "optimize.learning_rate=0.2",
    "optimize.steps=8",
    "priors.decoder.features=16",
    "priors.decoder.batch=4",
    "priors.decoder.steps=100",
    "priors.decoder.learning_rate=0.01",
    "priors.decoder.checkpoint_every=20",
    "sweep.select.0.include=[conv3]",
    "sweep.select.0.channels=[0,1]",
    "store.allow_changes=true",
]


def fitting(config: RunConfig, root: Path) -> Fitting:
    plan = prepare(config, measured=False).plan
    (task,) = prior_tasks(plan, set(), config)
    checkpoints = Checkpoints(store=Store.open(str(root)), key=task.key)
    return Fitting(
        config=config,
        key=task.key,
        example_ids=task.example_ids,
        device=torch.device("cpu"),
        threads=1,
        layer=task.layer,
        checkpoints=checkpoints,
    )


def same(first: Fitted, second: Fitted) -> bool:
    return all(torch.equal(first.state[name], second.state[name]) for name in first.state)


def test_a_decoder_learns_and_goes_on_where_it_was_stopped(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = fitting(tiny(*DECODED), tmp_path / "whole")
    whole = fit_decoder(work)
    assert whole.report["error"] < 0.8 * whole.report["error_of_mean"]
    again = fitting(tiny(*DECODED), tmp_path / "stopped")

    class Stopped(Exception):
        pass

    write = Checkpoints.write

    def write_and_stop(self: Checkpoints, state: dict[str, object]) -> None:
        write(self, state)
        if state["step"] == 40:
            raise Stopped

    monkeypatch.setattr(Checkpoints, "write", write_and_stop)
    with pytest.raises(Stopped):
        fit_decoder(again)
    assert same(fit_decoder(again), whole)  # from step 40 on


def test_pictures_of_the_decoder_rise_and_are_equal_alone_and_in_a_batch(tiny: Tiny, finished: Path) -> None:
    def rows(*overrides: str) -> list[dict[str, object]]:
        prepared = prepare(
            replace(config := tiny(*DECODED, *overrides), store=replace(config.store, root=str(finished)))
        )
        trainer = PriorWorker(prepared.config, threads=1)
        tasks: list[PriorTask] = prior_tasks(prepared.plan, what_is_done(prepared.store).prior, prepared.config)
        for task in tasks:
            trainer.run(task)
        inputs = StoredFiles(prepared, what_is_done(prepared.store))
        worker = OptimizeWorker(prepared.config, threads=1)
        return [row for task in prepared.plan.optimize_tasks(set(), inputs) for row in worker._rows(task)]

    together = rows("optimize.height_px=15", "optimize.width_px=21")
    alone = rows("optimize.height_px=15", "optimize.width_px=21", "optimize.batch=1")
    assert [row["image"] for row in together] == [row["image"] for row in alone]
    drawn = [row for row in together if row["recipe"] != "without_prior"]  # whose warps are for more pixels than these
    assert len(drawn) == 4
    for row in drawn:
        curve = row["curve"]
        assert isinstance(curve, list)
        assert curve[-1]["score"] > curve[0]["score"]


def test_its_layer_is_the_last_with_enough_rows_or_the_one_that_is_named(tiny: Tiny) -> None:
    def layer(*overrides: str) -> tuple[str, str]:
        (model,) = prepare(tiny(*DECODED, *overrides), measured=False).plan.learned
        assert model.layer is not None
        return model.layer.name, model.key

    assert layer()[0] == "conv3"
    named, key = layer("priors.decoder.layer=conv1")
    assert named == "conv1"
    assert key != layer()[1]
    assert layer("priors.decoder.layer=conv3") == layer()
    with pytest.raises(ConfigError, match="Did you mean 'conv1'"):
        layer("priors.decoder.layer=cov1")


def test_no_dataset_and_starts_from_images_are_refused(tiny: Tiny) -> None:
    with pytest.raises(ConfigError, match=r"decoder that is trained.*dataset=none"):
        tiny(*DECODED, "dataset=none", "dataset.label=none")
    with pytest.raises(ConfigError, match="parameterization generator can't"):
        tiny(*DECODED, "sweep.variants=[{objective: channel, start: example}]")
    with pytest.raises(ConfigError, match="coarse parts, which parameterization generator"):
        tiny(*DECODED, 'sweep.interpolate=[{first: "conv3:1", last: "conv3:2"}]')


@pytest.mark.parametrize(
    ("code", "size"), [((4, 4), (33, 33)), ((7, 5), (112, 80)), ((8, 8), (4, 4)), ((1, 3), (9, 30))]
)
def test_maps_are_doubled_until_they_come_nearest(code: tuple[int, int], size: tuple[int, int]) -> None:
    times = doublings(code, size)
    network = Decoder(code=(5, *code), channels=2, size=size, features=16)
    assert network(torch.zeros(1, 5, *code)).shape == (1, 2, code[0] * 2**times, code[1] * 2**times)
    assert code[0] * 2**times >= size[0] / 1.5 or code[1] * 2**times >= size[1] / 1.5
