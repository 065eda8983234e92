"""The cost of the missing part of a plan: work, time by number of workers, money; and the source of each figure."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import INLINE, TINY, quietly
from hypothesis import given
from hypothesis import strategies as some
from torch import nn

from network_atlas.cli.main import main
from network_atlas.config.compose import compose
from network_atlas.config.schema import RunConfig
from network_atlas.layers import LayerSpec
from network_atlas.models.load import load_model
from network_atlas.plan.calibration import calibrate_tasks, calibration_keys
from network_atlas.plan.estimate import (
    CLARITY,
    EARLIER,
    NAMING,
    TIMED,
    Estimate,
    Speeds,
    StageCost,
    estimate,
    workers_of,
)
from network_atlas.plan.estimate_bytes import EXAMPLE_IN_PARTIAL, bytes_of
from network_atlas.plan.tasks import BACKWARD_FACTOR
from network_atlas.run.prepare import Prepared, prepare
from network_atlas.run.speeds import speeds_of
from network_atlas.stats.files import put_partial
from network_atlas.stats.partial import Partial
from network_atlas.stats.reduced import Reduced
from network_atlas.store.results import what_is_done
from network_atlas.store.root import Store

SPEEDS = Speeds(
    step=0.5, image=2.0, measure=0.0625, row=0.25, pictures={},
    sources=dict.fromkeys(("scan", "optimize", "calibrate", "assemble"), TIMED),
)  # fmt: skip


def cost_of(prepared: Prepared, speeds: Speeds = SPEEDS, **done: object) -> Estimate:
    keys = {"done": (), "measured": ()} | done
    return estimate(prepared.config, prepared.facts, prepared.plan, speeds=speeds, **keys)  # type: ignore[arg-type]


def model_of(prepared: Prepared) -> nn.Module:
    return load_model(prepared.config.model)


def with_whole_shares(prepared: Prepared) -> Prepared:
    """Return the plan of a network in which every layer takes a whole forward pass."""
    return replace(prepared, facts=replace(prepared.facts, share=dict.fromkeys(prepared.facts.share, 1.0)))


def test_work_is_counted_in_passes_and_divided_among_tasks(tiny: Callable[..., RunConfig]) -> None:
    cost = cost_of(with_whole_shares(prepare(tiny())))
    scan, optimize, calibrate, assemble = cost.stages
    assert (scan.total, scan.reused, scan.tasks, scan.seconds, scan.longest) == (3, 0, 3, 12 * 2.0, 6 * 2.0)
    assert (optimize.total, optimize.reused, optimize.tasks) == (36, 0, 9)
    assert (optimize.seconds, optimize.longest) == (36 * 4 * 0.5, 4 * 4 * 0.5)
    assert (calibrate.total, calibrate.tasks, calibrate.seconds) == (36, 9, 36.0)
    assert assemble.tasks == 3
    assert cost.naming_seconds == pytest.approx(26 * 12 / 1000 * (NAMING + CLARITY)), "all channels, selected or not"
    assert assemble.seconds == 18 * 0.25 + cost.naming_seconds
    assert cost.forward_passes == 12 + 36 * 4 * BACKWARD_FACTOR + 36 * 16


def test_images_that_directions_are_compared_with_pass_the_network_once_for_each_task(
    tiny: Callable[..., RunConfig],
) -> None:
    variants = "sweep.variants=[{objective: channel}, {objective: direction, directions: 5}]"
    prepared = with_whole_shares(prepare(tiny(variants, "sweep.select.0.include=[conv1]", "sweep.block=4")))
    tasks = calibrate_tasks(prepared.plan, finished=prepared.plan.picture_keys, done=())
    passes = [task.passes(prepared.config, prepared.facts) for task in tasks]
    assert passes == [4 * 16, 4 * 16 + 12, 3 * 16 + 12]  # six channels, five directions; 12 images
    few = replace(prepared.config, scan=replace(prepared.config.scan, sample=7))
    assert tasks[-1].passes(few, prepared.facts) == 3 * 16 + 7


def test_an_early_layer_costs_its_share(tiny: Callable[..., RunConfig]) -> None:
    prepared = prepare(tiny("sweep.select.0.include=[conv1]"))
    whole, part = cost_of(with_whole_shares(prepared)), cost_of(prepared)
    share = prepared.facts.share["conv1"]
    assert 0 < share < 1
    assert part.stages[1].seconds == pytest.approx(share * whole.stages[1].seconds)
    assert part.stages[0].seconds == pytest.approx(share * whole.stages[0].seconds)


def test_finished_results_cost_nothing(tiny: Callable[..., RunConfig]) -> None:
    prepared = prepare(tiny())
    plan = prepared.plan
    first = {picture.key for picture in plan.layers[0].pictures}
    part = cost_of(prepared, done=first)
    assert (part.stages[1].reused, part.stages[1].tasks) == (12, 6)
    everything = {*plan.picture_keys, *plan.scan_keys, *plan.statistics_keys}
    assert cost_of(prepared, done=everything).stages[1].tasks == 0


def test_layers_with_receipts_cost_the_time_they_took(tiny: Callable[..., RunConfig]) -> None:
    prepared = with_whole_shares(prepare(tiny()))
    speeds = replace(SPEEDS, pictures={"conv1": 100.0})
    assert cost_of(prepared, speeds).stages[1].seconds == 12 * 100.0 + 24 * 4 * 0.5


def test_planning_without_receptive_fields_names_the_same_results(tiny: Callable[..., RunConfig]) -> None:
    whole, quick = prepare(tiny()).plan, prepare(tiny(), measured=False).plan
    assert whole.layers[0].layer.receptive_field_px is not None
    assert quick.layers[0].layer.receptive_field_px is None
    assert (quick.picture_keys, quick.scan_keys) == (whole.picture_keys, whole.scan_keys)
    assert calibration_keys(quick, quick.layers[1]) == calibration_keys(whole, whole.layers[1])


def stage(seconds: float, longest: float, tasks: int) -> StageCost:
    return StageCost(
        name="optimize", unit="pictures", total=1, reused=0, tasks=tasks, seconds=seconds, longest=longest, source=TIMED
    )


@given(some.lists(some.floats(0, 1e5), max_size=30), some.integers(1, 200))
def test_more_workers_are_never_slower_and_never_beat_the_longest_task(tasks: list[float], workers: int) -> None:
    cost = stage(sum(tasks), max(tasks, default=0.0), len(tasks))
    assert cost.seconds_with(1) == pytest.approx(sum(tasks))
    assert cost.seconds_with(workers + 1) <= cost.seconds_with(workers)
    assert cost.seconds_with(workers) >= cost.longest
    assert cost.seconds_with(workers) * workers >= sum(tasks) * (1 - 1e-9)


def test_workers_are_paid_while_they_wait() -> None:
    cost = Estimate(stages=(stage(7200.0, 3600.0, 2),), forward_passes=0, bytes_written=0)
    assert [cost.seconds(count) for count in (1, 8, 64)] == [7200.0, 3600.0, 3600.0]
    assert [cost.price(count, 0.5) for count in (1, 8, 64)] == [1.0, 4.0, 32.0]


def test_this_machine_is_timed_only_without_receipts(tiny: Callable[..., RunConfig]) -> None:
    prepared = prepare(tiny())
    timed = speeds_of(prepared, what_is_done(prepared.store), model_of(prepared))
    assert set(timed.sources.values()) == {TIMED}
    assert timed.step > 0
    quietly(tiny())
    from_receipts = speeds_of(prepared, what_is_done(prepared.store), model_of(prepared))
    assert set(from_receipts.sources.values()) == {EARLIER}
    assert set(from_receipts.pictures) == {"conv1", "conv2", "conv3"}
    assert 0 < from_receipts.step < 10
    assert 0 < from_receipts.image < 10


def test_a_wider_sweep_is_estimated_from_the_finished_layers(tiny: Callable[..., RunConfig]) -> None:
    quietly(tiny("sweep.select.0.include=[conv1]"))
    prepared = prepare(tiny())
    speeds = speeds_of(prepared, what_is_done(prepared.store), model_of(prepared))
    assert set(speeds.pictures) == {"conv1"}
    assert speeds.sources["optimize"] == EARLIER


def test_the_json_has_the_fields_that_the_help_names(
    tiny: Callable[..., RunConfig], images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = [*TINY, *INLINE, f'dataset.root="{images}"', f'store.root="{tmp_path / "x"}"']
    assert main(["plan", *overrides, "executor.price_per_hour=2", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert list(plan) == [
        "format", "root", "model", "examples", "layers", "dataset_notices", "passed_over", "stages", "forward_passes",
        "bytes_written", "naming_seconds", "naturalness_seconds", "compiled", "price_per_hour", "workers",
    ]  # fmt: skip
    assert [row["workers"] for row in plan["workers"]] == [1, 8, 64]
    for row in plan["workers"]:
        assert row["price"] == pytest.approx(row["workers"] * row["seconds"] * 2 / 3600)
    assert main(["plan", *overrides]) == 0
    assert "at 2 per worker" not in capsys.readouterr().out
    assert not (tmp_path / "x").exists()


@pytest.fixture(scope="session")
def large_root(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    root = tmp_path_factory.mktemp("large") / "atlas"
    sweep = ["sweep=select", "sweep.select.0.include=[_blocks.4, output]", 'sweep.select.0.channels="0:4"']
    dataset = ["dataset=folder", f'dataset.root="{photos}"', "dataset.label=name", "dataset.limit=24"]
    config = compose([*INLINE, *sweep, *dataset, "optimize.steps=2", f'store.root="{root}"'])
    quietly(config)
    return config


def size_on_disk(root: Path) -> int:
    """Return what `du` says of a folder."""
    # A file with two names, such as a layer's newest table, is there once.
    sizes = {(status := path.stat()).st_ino: status.st_blocks * 512 for path in [root, *root.rglob("*")]}
    return sum(sizes.values())


def assert_estimated(config: RunConfig, root: Path, within: float) -> None:
    """Compare the estimate of a run that has nothing yet with what it left."""
    plan = prepare(config, measured=False).plan
    estimated = bytes_of(config, plan, len(plan.picture_keys), len(plan.spans))
    assert 1 / within < estimated / size_on_disk(root) < within


def test_the_bytes_of_a_small_run_are_estimated_within_a_third(
    atlas_root: Path, tiny: Callable[..., RunConfig]
) -> None:
    assert_estimated(tiny(), atlas_root, 1.3)


@pytest.mark.slow
def test_the_bytes_of_a_real_run_are_estimated_within_a_third(large_root: RunConfig) -> None:
    assert_estimated(large_root, Path(large_root.store.root), 1.3)


def test_lists_longer_than_the_dataset_cost_no_more(tiny: Callable[..., RunConfig]) -> None:
    estimates = set()
    for k in (12, 400):  # of twelve images
        config = tiny(*(f"scan.{name}={k}" for name in ("top_k", "bottom_k", "spectrum_k")))
        plan = prepare(config, measured=False).plan
        estimates.add(bytes_of(config, plan, 0, len(plan.spans)))
    assert len(estimates) == 1


@pytest.mark.parametrize("k", [9, 100])
def test_an_entry_of_a_partials_lists_takes_what_is_estimated(tmp_path: Path, k: int) -> None:
    layer, channels, examples = (
        LayerSpec(index=0, name="conv", type="Conv2d", channels=64, height=14, width=14),
        64,
        512,
    )
    generator, sizes = np.random.default_rng(0), {}
    values = generator.gamma(2, size=(examples, channels)).astype(np.float32)
    at = generator.integers(0, 196, (examples, channels)).astype(np.int32)
    reduced = Reduced(
        spatial_maximum=values, spatial_maximum_at=at, spatial_minimum=-values, spatial_minimum_at=at,
        spatial_mean=values / 3, within=np.ones((examples, channels)), vectors=values[:0], centre=values[:0],
    )  # fmt: skip
    for length in (1, k):
        config = replace(compose([]).kept, top_k=length, bottom_k=length, spectrum_k=length, class_k=0)
        partial = Partial.empty([layer], config, start=0, stop=examples, labels=())
        partial.update(reduced, np.arange(examples), np.full(examples, -1, np.int32))
        sizes[length] = put_partial(Store.open(str(tmp_path)), [layer], partial, first="a").size_bytes
    assert (sizes[k] - sizes[1]) / channels / (4 * (k - 1)) == pytest.approx(EXAMPLE_IN_PARTIAL, rel=0.25)


def test_without_anything_to_do_nothing_is_written(tiny: Callable[..., RunConfig]) -> None:
    config = tiny()
    assert bytes_of(config, prepare(config, measured=False).plan, 0, 0) == 0


def test_on_a_busy_machine_only_timed_stages_have_a_range(tiny: Callable[..., RunConfig]) -> None:
    prepared = prepare(tiny(), measured=False)
    timed = cost_of(prepared, replace(SPEEDS, slowdown=3.0))
    assert timed.seconds_at_most(1) == pytest.approx(3 * timed.seconds(1))
    from_receipts = cost_of(prepared, replace(SPEEDS, slowdown=3.0, sources=dict.fromkeys(SPEEDS.sources, EARLIER)))
    assert from_receipts.seconds_at_most(8) == from_receipts.seconds(8)


def test_times_are_given_for_the_runs_own_number_of_workers_too(tiny: Callable[..., RunConfig]) -> None:
    assert workers_of(tiny()) == (1, 8, 64)
    assert workers_of(compose(["executor=ray", "executor.workers=6"])) == (1, 6, 8, 64)
    assert workers_of(compose(["executor=ray", "executor.workers=auto"])) == (1, 8, 64)
