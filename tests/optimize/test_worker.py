from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import quietly

from network_atlas.config.schema import RunConfig
from network_atlas.models import batches
from network_atlas.optimize import worker
from network_atlas.optimize.finished import FinishedPicture, status_of
from network_atlas.optimize.loop import optimize
from network_atlas.optimize.worker import OptimizeWorker
from network_atlas.plan.tasks import OptimizeTask
from network_atlas.run.prepare import prepare
from network_atlas.run.status import read_status

CRAMPED = ["model.name=tiny_network:cramped", 'sweep.select.0.include=["inner.conv2"]', "sweep.select.0.types=[]"]


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in the batches that a GPU gets: only there does memory run out in a way that can be caught."""
    monkeypatch.setattr(batches, "ROWS", batches.ROWS_ON_GPU)


def rows(root: Path) -> list[dict[str, Any]]:
    (table,) = (root / "atlas").iterdir()
    return pq.read_table(table).to_pylist()


def scores(root: Path) -> list[float]:
    return [shown["score"] for row in rows(root) for shown in row["visualizations"]]


@pytest.mark.usefixtures("as_on_a_gpu")
def test_out_of_memory_halves_the_batch_and_is_remembered(tiny: Callable[..., RunConfig], tmp_path: Path) -> None:
    config = tiny(*CRAMPED, "sweep.block=12")
    prepared = prepare(config)
    tasks: list[OptimizeTask] = prepared.plan.optimize_tasks(set())
    worker = OptimizeWorker(prepared.config, threads=1)
    assert worker._at_once(config.optimize) > 4
    receipt = worker.run(tasks[0])
    assert len(receipt.keys) == len(tasks[0].pictures) > 4
    assert worker._slots[""].at_once <= 4


@pytest.mark.usefixtures("as_on_a_gpu")
def test_pictures_made_with_little_memory_are_the_same(tiny: Callable[..., RunConfig], tmp_path: Path) -> None:
    quietly(tiny(*CRAMPED, root=tmp_path / "cramped"))
    quietly(tiny(*CRAMPED, "optimize.batch=3", root=tmp_path / "slow"))
    assert scores(tmp_path / "cramped") == pytest.approx(scores(tmp_path / "slow"), abs=1e-3)


@pytest.mark.usefixtures("as_on_a_gpu")
def test_a_set_that_never_fits_is_left_out_whole_and_says_why(tiny: Callable[..., RunConfig]) -> None:
    config = tiny(*CRAMPED, "sweep.variants=[{objective: channel, diverse: 5}]")
    left_out = quietly(config).quarantined
    (optimize,) = [stage for stage in read_status(config.store.root).stages if stage.name == "optimize"]
    assert left_out == optimize.total == 5 * len(optimize.failures) > 0  # one record for each set
    assert all("not enough memory for 16 images" in failure for failure in optimize.failures)


def test_a_second_attempt_says_that_it_is_one(tiny: Callable[..., RunConfig], tmp_path: Path) -> None:
    layers = ["sweep.select.0.include=[conv1,act]", "sweep.select.0.types=[]", "sweep.select.0.channels=[0,1]"]
    variants = "sweep.variants=[{objective: channel}, {objective: channel, start: example}]"
    quietly(tiny("model.name=tiny_network:asleep", *layers, variants))
    tables = sorted((tmp_path / "atlas" / "atlas").iterdir())
    pictures = [shown for path in tables for row in pq.read_table(path).to_pylist() for shown in row["visualizations"]]
    columns = [[shown[name] for name in ("attempt", "start", "before_activation")] for shown in pictures]
    first = [[1, "noise", False], [1, "example", False]]
    assert columns == 2 * first + 4 * [[2, "noise", True]]


def test_a_second_attempt_follows_the_depth_too(
    tiny: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipes = []

    def noted(target: Any, pictures: Any, recipe: Any) -> Any:
        recipes.append(recipe)
        return optimize(target, pictures, recipe)

    monkeypatch.setattr(worker, "optimize", noted)
    layers = ["sweep.select.0.include=[output]", "sweep.select.0.types=[]", "sweep.select.0.channels=[0,1]"]
    config = tiny("model.name=tiny_network:asleep", "optimize.depth.follow=true", *layers)
    quietly(config)
    first, second = recipes
    assert (first.attempt, second.attempt) == (0, 1)
    assert first.config != config.optimize
    assert second.config == first.config


def test_pictures_say_their_depth_and_are_the_same_alone(tiny: Callable[..., RunConfig], tmp_path: Path) -> None:
    follow = ["optimize.depth.follow=true", "optimize.transform.jitter_px=6", "optimize.transform.noise_std=0.1"]
    layers = ["sweep.select.0.include=[conv1,output]", "sweep.select.0.types=[]", 'sweep.select.0.channels="0:3"']
    variants = "sweep.variants=[{objective: channel}, {objective: neuron}]"

    def pictures(root: str, *overrides: str) -> dict[str, dict[str, Any]]:
        quietly(tiny(*follow, *overrides, root=tmp_path / root))
        tables = [pq.read_table(path).to_pylist() for path in (tmp_path / root / "atlas").iterdir()]
        shards = [pq.read_table(path).to_pylist() for path in (tmp_path / root / "visualizations").rglob("*.parquet")]
        images = {row["key"]: row["image"] for rows in shards for row in rows}
        shown = [shown for table in tables for row in table for shown in row["visualizations"]]
        return {each["key"]: each | {"image": images[each["key"]]} for each in shown}

    every = pictures("many", *layers, variants)
    assert Counter((shown["objective"], shown["depth"], shown["steps"]) for shown in every.values()) == {
        ("channel", "early", 4): 3,
        ("neuron", "early", 4): 3,
        ("logit", "late", 6): 3,
    }
    # Named by their units alone, in a layer that the sweep does not select, a channel and a neuron are the same.
    combine = 'sweep.combine=[{unit: "conv1:1"}, {unit: "conv1:2@8,8"}]'
    few = pictures("few", "sweep.select.0.include=[output]", *layers[1:2], 'sweep.select.0.channels="0:1"', combine)
    early = {key: shown for key, shown in few.items() if shown["depth"] == "early"}
    assert len(early) == 2
    assert all(shown["image"] == every[key]["image"] for key, shown in early.items())


def made(pixels: np.ndarray, status: str = "ok") -> FinishedPicture:
    return FinishedPicture(pixels=pixels.astype(np.uint8), opacity=None, steps=1, curve=[], status=status)


SHADES = np.arange(10, 58).reshape(4, 4, 3)


@pytest.mark.parametrize(
    ("picture", "score", "status"),
    [
        (made(np.full((4, 4, 3), 128)), 1.0, "grey"),
        (made(np.broadcast_to([20, 200, 90], (4, 4, 3))), 1.0, "grey"),  # of one colour
        (made(SHADES), 1.0, "ok"),
        (made(SHADES), float("inf"), "diverged"),
        (made(SHADES, "dead"), 1.0, "dead"),
        (made(np.where(SHADES > 20, 255, 0)), 1.0, "saturated"),
        (made(np.where(SHADES > 40, 255, SHADES)), 1.0, "ok"),  # a third is white: bright, not saturated
    ],
)
def test_a_picture_says_what_became_of_it(picture: FinishedPicture, score: float, status: str) -> None:
    assert status_of(picture, score) == status
