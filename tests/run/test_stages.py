"""Whole runs of the tiny network: their results, how they resume, and that no kill changes the tables."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import INLINE, RAY, TINY, quietly
from example_shards import write_tar
from forked import Forking
from PIL import Image
from processes import PYTHON_PATH, processes, ray_hosts, text

from network_atlas.analysis.atlas import open_atlas
from network_atlas.cli.main import main
from network_atlas.config.schema import RunConfig
from network_atlas.errors import ConfigError, RootBusyError, RootMismatchError, StoreError, TasksFailedError
from network_atlas.plan.pictures import Picture
from network_atlas.run.prepare import prepare
from network_atlas.run.status import read_status
from network_atlas.store.lease import Lease
from network_atlas.store.manifest import latest
from network_atlas.store.root import Store

Tables = dict[str, list[dict[str, object]]]


def tables(root: Path) -> Tables:
    """Return every atlas table under `root` as rows, images included."""
    return {path.name: pq.read_table(path).to_pylist() for path in sorted((root / "atlas").iterdir())}


def written(root: Path) -> dict[str, int]:
    """Return the modification times of all results."""
    skip = ("plan", "layers.parquet", ".staging")
    files = [path for path in root.rglob("*") if path.is_file()]
    relative = {str(path.relative_to(root)): path.stat().st_mtime_ns for path in files}
    return {name: when for name, when in relative.items() if not name.startswith(skip)}


KINDS = ["top", "class", "top_mean", "slightly_positive", "zero", "slightly_negative", "bottom_mean", "bottom"]


def test_every_selected_channel_has_one_row_with_everything(finished: Path) -> None:
    by_layer = tables(finished)
    images = {
        row["key"]: row["image"]["bytes"] for row in open_atlas(str(finished)).table("visualizations").to_pylist()
    }
    assert list(by_layer) == ["layer=0000-conv1.parquet", "layer=0002-conv2.parquet", "layer=0005-conv3.parquet"]
    for rows in by_layer.values():
        assert [row["channel"] for row in rows] == list(range(6))
        for row in rows:
            assert row["model"] == "tiny_network:build"
            assert row["count"] == 12
            assert row["minimum"] <= row["mean"] <= row["maximum"]
            assert [picture["variant"] for picture in row["visualizations"]] == ["channel+", "neuron+"]
            ranks: dict[str, list[int]] = {}
            for example in row["examples"]:
                ranks.setdefault(example["kind"], []).append(example["rank"])
            assert list(ranks) == sorted(ranks, key=KINDS.index)
            assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in ranks.values())
            always = {"top": 4, "class": 5, "top_mean": 3, "bottom_mean": 3, "bottom": 3}
            always |= {"zero": 3} if row["spatial_mean"]["minimum"] < 0 < row["spatial_mean"]["maximum"] else {}
            assert {kind: len(numbers) for kind, numbers in ranks.items() if kind in always} == always
            assert {example["label"] for example in row["examples"]} <= {f"{n:02d}" for n in range(12)}
            for picture in row["visualizations"]:
                assert Image.open(io.BytesIO(images[picture["key"]])).size == (16, 16)
                assert row["dead"] if picture["percentile"] is None else 0 <= picture["percentile"] <= 100
            for example in row["examples"]:
                with Image.open(finished / example["crop"]["file"]) as image:
                    assert image.format == "WEBP"
                    assert example["crop"]["bottom"] <= image.height
                    assert example["crop"]["right"] <= image.width
                assert example["image"] == example["crop"]["file"]  # the images are small, and stored in full
                box = example["box"]
                assert 0 <= box["top"] < box["bottom"] <= 24
                assert 0 <= box["left"] < box["right"] <= 20
            for kind in ("spatial_maximum", "spatial_mean"):
                assert sum(bucket["count"] for bucket in row[kind]["histogram"]) == 12
                assert row[kind]["minimum"] <= row[kind]["mean"] <= row[kind]["maximum"]
            assert row["spatial_maximum"]["maximum"] == row["maximum"]
            assert row["dead"] == (row["status"] == "dead")


def test_every_channel_has_its_statistics_selected_or_not(finished: Path) -> None:
    paths = sorted((finished / "channel_stats").iterdir())
    assert [len(pq.read_table(path)) for path in paths] == [8, 12, 6]
    atlas = {row["channel"]: row for row in tables(finished)["layer=0002-conv2.parquet"]}
    for row in pq.read_table(paths[1]).to_pylist():
        if row["channel"] in atlas:
            atlas_row = atlas[row["channel"]]
            assert all(row[name] == atlas_row[name] for name in row if name != "examples")
            names = ("kind", "rank", "example_id", "value", "row", "column", "alike", "label")
            assert row["examples"] == [{name: example[name] for name in names} for example in atlas_row["examples"]]


def test_a_dead_channel_says_so(finished: Path) -> None:
    rows = tables(finished)["layer=0002-conv2.parquet"]
    assert [row["status"] == "dead" for row in rows] == [False, False, True, False, False, False]


def test_the_manifest_lists_exactly_what_is_there(finished: Path) -> None:
    manifest = latest(Store.open(str(finished)))
    assert manifest is not None
    parts = ("tables", "visualizations", "scan", "calibrations", "statistics", "examples")
    parts = (*parts, "activation_samples")
    there = {str(path.relative_to(finished)) for part in parts for path in (finished / part).rglob("*.parquet")}
    there |= {str(path.relative_to(finished)) for path in (finished / "site" / "examples").iterdir()}
    assert {file.path for file in manifest.files} == there
    assert all((finished / file.path).stat().st_size == file.size_bytes for file in manifest.files)


def test_a_second_run_does_nothing(
    finished: Path, tiny: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = written(finished)

    def never(*_: object) -> None:
        raise AssertionError("a worker was started")

    monkeypatch.setattr("network_atlas.executors.base.WorkerSpec.build", never)
    result = quietly(tiny())
    assert result.manifest.number == 1
    assert written(finished) == before


def test_a_wider_sweep_adds_and_repeats_nothing(finished: Path, tiny: Callable[..., RunConfig]) -> None:
    before = written(finished)
    old = tables(finished)["layer=0002-conv2.parquet"]
    result = quietly(tiny("sweep.select.0.channels=all", "sweep.select.0.include=[conv2]"))
    assert result.manifest.number == 2
    assert list(tables(finished)) == [
        "layer=0002-conv2.parquet"
    ]  # the atlas has only the layers that the sweep selects
    new = tables(finished)["layer=0002-conv2.parquet"]
    assert len(new) == 12
    # As the last layer is another one, so is what its space says.
    later = ("clarity_layer", "clarity", "clarity_by_chance", "clarity_groups", "two_groups", "monosemanticity")
    assert [row | dict.fromkeys(later) for row in new[:6]] == [row | dict.fromkeys(later) for row in old]
    kept = {
        name: when
        for name, when in written(finished).items()
        if name.startswith(("visualizations", "scan", "activation"))
    }
    assert {name: before[name] for name in before if name in kept} == {
        name: when for name, when in kept.items() if name in before
    }


def test_a_lost_shard_is_made_again(finished: Path, tiny: Callable[..., RunConfig]) -> None:
    before = tables(finished)
    next((finished / "visualizations").rglob("*.parquet")).unlink()
    next((finished / "scan").rglob("*.parquet")).unlink()
    (finished / "atlas" / "layer=0002-conv2.parquet").unlink()
    quietly(tiny())
    assert tables(finished) == before


@pytest.mark.parametrize(
    "folder",
    [
        "visualizations",
        "scan/partials",
        "scan/classes",
        "activation_samples",
        "examples",
        "channel_stats",
        "receipts/optimize",
        "receipts/scan",
        "atlas",
    ],
)
def test_a_truncated_file_is_made_again(finished: Path, tiny: Callable[..., RunConfig], folder: str) -> None:
    before = tables(finished)
    torn = next(path for path in (finished / folder).rglob("*") if path.is_file())
    torn.write_bytes(torn.read_bytes()[:-5])
    quietly(tiny())
    assert tables(finished) == before


def test_a_truncated_list_of_layers_is_written_again(finished: Path, tiny: Callable[..., RunConfig]) -> None:
    before = tables(finished)
    (finished / "layers.parquet").write_bytes(b"")
    quietly(tiny())
    assert tables(finished) == before


@pytest.mark.parametrize("content", ["{", "{}", "[]", '{"config": 5}', '{"config": {}}'])
def test_a_damaged_record_of_the_run_is_named(finished: Path, tiny: Callable[..., RunConfig], content: str) -> None:
    (finished / "plan" / "run.json").write_text(content)
    with pytest.raises(StoreError, match=r"plan/run\.json.*Delete it"):
        read_status(str(finished))
    with pytest.raises(StoreError, match=r"plan/run\.json.*Delete it"):
        quietly(tiny())


def test_status_checks_the_files(finished: Path) -> None:
    next((finished / "tables/atlas/layer_slug=0002-conv2").iterdir()).unlink()
    (finished / "site" / "layers" / "0000-conv1.html").unlink()
    (finished / "failures" / "scan").mkdir(parents=True)
    (finished / "failures" / "scan" / "x.json").write_text("{")
    stages = {stage.name: stage for stage in read_status(str(finished)).stages}
    assert (stages["assemble"].done, stages["assemble"].total) == (2, 3)
    assert (stages["site"].done, stages["site"].total) == (2, 3)
    assert stages["scan"].failures == ("x: failures/scan/x.json is damaged",)


@pytest.mark.parametrize("inside", ["", "atlas"])
def test_an_atlas_inside_its_own_dataset_is_refused(images: Path, tiny: Callable[..., RunConfig], inside: str) -> None:
    with pytest.raises(ConfigError, match="outside"):
        quietly(tiny(root=images / inside))


def test_other_settings_are_refused_and_named(finished: Path, tiny: Callable[..., RunConfig]) -> None:
    before = tables(finished)
    with pytest.raises(RootMismatchError, match=r"optimize\.steps: 4 -> 5"):
        quietly(tiny("optimize.steps=5"))
    assert tables(finished) == before
    quietly(tiny("optimize.steps=5", "store.allow_changes=true"))
    assert tables(finished) != before


def test_settings_that_change_no_result_may_change(finished: Path, tiny: Callable[..., RunConfig]) -> None:
    before = tables(finished)
    quietly(tiny("scan.batch=2", "optimize.batch=2", "sweep.block=2"))
    assert tables(finished) == before


def test_the_order_of_the_work_changes_nothing(finished: Path, tiny: Callable[..., RunConfig], tmp_path: Path) -> None:
    quietly(tiny("scan.batch=3", "optimize.batch=3", "sweep.block=5", root=tmp_path / "other"))
    assert tables(tmp_path / "other") == tables(finished)


def test_a_task_that_fails_is_named_and_the_rest_is_kept(
    tiny: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import network_atlas.optimize.worker as module

    original = module.optimize

    def broken(target: object, pictures: object, *rest: object) -> object:
        if target.layers[0].name == "conv2":  # type: ignore[attr-defined]
            raise RuntimeError("this layer breaks")
        return original(target, pictures, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "optimize", broken)
    result = quietly(tiny())
    assert result.quarantined == 12
    root = tmp_path / "atlas"
    assert [row["status"] for row in tables(root)["layer=0002-conv2.parquet"]][:2] == ["missing", "missing"]
    assert tables(root)["layer=0000-conv1.parquet"][0]["visualizations"]
    status = {stage.name: stage for stage in read_status(str(root)).stages}
    assert {name: len(stage.failures) for name, stage in status.items() if stage.failures} == {"optimize": 12}
    assert any("[conv2:0 channel+]" in line for line in status["optimize"].failures)
    record = json.loads(next((root / "failures" / "optimize").iterdir()).read_text())
    assert "Traceback" in record["details"]
    assert (len(record["keys"]), len(record["units"])) == (1, 1)
    monkeypatch.undo()
    assert quietly(tiny()).quarantined == 12  # left out until asked for
    assert quietly(tiny("retry_failed=true")).quarantined == 0
    # Four steps make weak pictures or good ones, depending on the last bits: here it matters that they are made.
    assert {row["status"] for row in tables(root)["layer=0002-conv2.parquet"][:2]} <= {"ok", "weak"}
    assert not any(stage.failures for stage in read_status(str(root)).stages)


def test_a_run_whose_tasks_all_fail_ends_soon(
    tiny: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> object:
        raise RuntimeError("everything breaks")

    monkeypatch.setattr("network_atlas.optimize.worker.optimize", broken)
    with pytest.raises(TasksFailedError, match=r"first 50 tasks all failed.*everything breaks.*retry_failed"):
        quietly(tiny("sweep.select.0.channels=all", "sweep.select.0.types=[Conv2d,Linear]"))
    assert len(list((tmp_path / "atlas" / "failures" / "optimize").iterdir())) == 50


def test_only_the_picture_that_fails_is_left_out(
    tiny: Callable[..., RunConfig], images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import network_atlas.optimize.worker as module

    original = module.optimize

    def broken(target: object, pictures: Sequence[Picture], *rest: object) -> object:
        if any(picture.unit.label == "conv2:3" for picture in pictures):
            raise RuntimeError("this picture breaks")
        return original(target, pictures, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "optimize", broken)
    assert quietly(tiny("sweep.block=64")).quarantined == 1
    rows = tables(tmp_path / "atlas")["layer=0002-conv2.parquet"]
    assert [len(row["visualizations"]) for row in rows] == [2, 2, 2, 1, 2, 2]
    root = tmp_path / "atlas"
    overrides = [*TINY, *INLINE, f'dataset.root="{images}"', "dataset.label=name", f'store.root="{root}"']
    assert main(["run", *overrides]) == 3


def test_a_run_with_nothing_to_do_loads_neither_ray_nor_torchs_compiler(finished: Path, images: Path) -> None:
    overrides = [*TINY, *RAY, f'dataset.root="{images}"', "dataset.label=name", f'store.root="{finished}"']
    loaded = "[name for name in ('ray', 'torch._dynamo', 'sympy') if name in sys.modules]"
    code = f"import sys, network_atlas.cli.main as c; print(c.main(sys.argv[1:]), {loaded})"
    environment = {**os.environ, "PYTHONPATH": PYTHON_PATH}
    done = subprocess.run(
        [sys.executable, "-c", code, "run", *overrides], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.splitlines()[-1] == "0 []", done.stderr


def test_a_second_run_on_a_root_is_refused_with_the_name_of_the_holder(
    tiny: Callable[..., RunConfig], tmp_path: Path
) -> None:
    config = tiny()
    with Lease(Store.open(config.store.root)), pytest.raises(RootBusyError, match=rf"process {os.getpid()} on "):
        quietly(config)
    assert not (tmp_path / "atlas" / "plan").exists()
    assert quietly(config).manifest.number == 1
    assert not (tmp_path / "atlas" / "lease.json").exists()


def test_a_full_disk_ends_the_run_at_once_and_keeps_what_was_made(
    tiny: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Store.write

    def full(self: Store, path: str, data: bytes) -> None:
        if path.startswith("visualizations/layer_slug=0000"):
            raise StoreError(f"can't write {path!r}: no space left on device")
        original(self, path, data)

    monkeypatch.setattr(Store, "write", full)
    with pytest.raises(StoreError, match="no space left"):
        quietly(tiny())
    monkeypatch.undo()
    status = {stage.name: stage for stage in read_status(str(tmp_path / "atlas")).stages}
    assert 0 < status["optimize"].done < status["optimize"].total
    quietly(tiny())
    assert len(tables(tmp_path / "atlas")) == 3


def test_status_of_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="holds no atlas"):
        read_status(str(tmp_path))


# Kills. The tables of a run that was killed, at any moment, and run again equal those of an undisturbed run.

SLOW_TASKS = ["optimize.steps=20", "sweep.block=2"]
MOMENTS = {"scan": 1, "optimize": 3, "assemble": 1}
"""Stage to the number of receipts after which the kill comes."""
MISSED_SOON = {"RAY_health_check_period_ms": "500"}
"""With this Ray misses a dead node after some three seconds instead of some fifteen."""


class Command:
    """`atlas run` as a separate process, with a mark in the environment that all its workers inherit."""

    def __init__(self, forking: Forking, root: Path, images: Path, executor: Sequence[str] = INLINE) -> None:
        self.root = root
        self.mark = uuid.uuid4().hex
        overrides = [f'dataset.root="{images}"', "dataset.label=name", f'store.root="{root}"', *SLOW_TASKS, *executor]
        self._before = {folder.name: _receipts(folder) for folder in (root / "receipts").glob("*")}
        self.process = forking.atlas(
            "run", *TINY, *overrides, environment={"ATLAS_TEST_MARK": self.mark, **MISSED_SOON}
        )

    def wait_for(self, stage: str, receipts: int, *, seconds: float = 120) -> None:
        """Wait until this command has committed a number of receipts of a stage."""
        folder = self.root / "receipts" / stage
        self._wait(lambda: _receipts(folder) - self._before.get(stage, 0) >= receipts, seconds)

    def _wait(self, is_done: Callable[[], bool], seconds: float) -> None:
        end = time.monotonic() + seconds
        while not is_done():
            assert self.process.poll() is None, self.process.output
            assert time.monotonic() < end, f"not in {seconds} s"
            time.sleep(0.005)

    def workers(self) -> list[int]:
        """Return the ids of this run's Ray workers that hold a `Host`."""
        return ray_hosts(self.mark)

    def kill_a_worker(self) -> None:
        """Kill a worker, as soon as there is one."""
        self._wait(lambda: bool(self.workers()), 60)
        os.kill(self.workers()[0], signal.SIGKILL)

    def stop(self, number: signal.Signals) -> None:
        """Ask it to stop, and check how it does."""
        self.process.send_signal(number)
        started = time.monotonic()
        code, output = self.process.wait(timeout=60), self.process.output
        assert time.monotonic() - started < 10
        assert code == 75, output
        assert "Give the same command again" in output
        assert "Traceback" not in output
        assert self.workers() == []

    def finish(self) -> None:
        assert self.process.wait() == 0, self.process.output


def _receipts(folder: Path) -> int:
    return len(list(folder.glob("*.json")))


@pytest.fixture
def start(forking: Forking, images: Path, tmp_path: Path) -> Iterator[Callable[..., Command]]:
    """Return a function that starts commands on one root; they leave no process behind if the test fails."""
    commands: list[Command] = []

    def started(executor: Sequence[str] = INLINE) -> Command:
        commands.append(Command(forking, tmp_path / "atlas", images, executor))
        return commands[-1]

    yield started
    for command in commands:
        command.process.kill()


@pytest.fixture(scope="module")
def undisturbed(forking: Forking, images: Path, tmp_path_factory: pytest.TempPathFactory) -> Tables:
    root = tmp_path_factory.mktemp("undisturbed") / "atlas"
    Command(forking, root, images).finish()
    return tables(root)


def test_killing_the_process_in_each_stage_changes_nothing(
    start: Callable[..., Command], tmp_path: Path, undisturbed: Tables
) -> None:
    for stage, receipts in MOMENTS.items():
        command = start()
        command.wait_for(stage, receipts)
        command.process.kill()
    start().finish()
    assert tables(tmp_path / "atlas") == undisturbed


@pytest.mark.exhaustive
@pytest.mark.ray
@pytest.mark.timeout(600)
def test_on_ray_neither_kills_of_workers_and_drivers_nor_stops_change_anything(
    start: Callable[..., Command], tmp_path: Path, undisturbed: Tables
) -> None:
    # Stops by SIGTERM on Ray are in `executors/test_cluster.py`, kills in later stages and of nodes in `test_chaos.py`.
    first = start([*RAY, "executor.grace_seconds=2"])
    first.wait_for("scan", 1)
    first.kill_a_worker()
    first.wait_for("optimize", 1)
    first.stop(signal.SIGINT)
    second = start([*RAY, "executor.workers=1"])
    second.wait_for("optimize", 2)
    second.process.kill()
    start().finish()
    assert tables(tmp_path / "atlas") == undisturbed
    assert not (tmp_path / "atlas" / "failures").exists()


@pytest.mark.slow
@pytest.mark.ray
def test_the_death_of_ray_itself_ends_the_run_with_a_clear_message(start: Callable[..., Command]) -> None:
    command = start([*RAY, "executor.workers=1"])
    command.wait_for("scan", 1)
    raylets = [pid for pid in processes() if text(pid, "stat").split()[1:4:2] == ["(raylet)", str(command.process.pid)]]
    assert raylets
    for pid in [*raylets, *command.workers()]:
        os.kill(pid, signal.SIGKILL)
    assert command.process.wait(timeout=90) != 0
    assert "Ray itself has died" in command.process.output


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.parametrize("child", [pytest.param("(gcs_server)", marks=pytest.mark.exhaustive), "(raylet)"])
def test_stopping_while_ray_starts_is_an_ordinary_stop(child: str, start: Callable[..., Command]) -> None:
    command = start(RAY)
    while not any(text(pid, "stat").split()[1:4:2] == [child, str(command.process.pid)] for pid in processes()):
        assert command.process.poll() is None
        time.sleep(0.005)
    command.process.send_signal(signal.SIGTERM)
    assert command.process.wait(timeout=60) == 75, command.process.output
    assert "Give the same command again" in command.process.output


def test_a_run_without_a_dataset_makes_pictures_without_examples(
    tiny: Callable[..., RunConfig], tmp_path: Path
) -> None:
    result = quietly(tiny("dataset=none", "dataset.root=''", "dataset.label=none"))
    rows = pq.read_table(tmp_path / "atlas/atlas", partitioning=None).to_pylist()
    assert result.pictures == sum(len(row["visualizations"]) for row in rows) > 0
    assert result.unreadable == 0
    for row in rows:
        assert row["examples"] == []
        assert row["count"] is row["mean"] is row["maximum"] is None
        assert all(picture["percentile"] is None for picture in row["visualizations"])
    assert not (tmp_path / "atlas/scan").exists()
    assert (tmp_path / "atlas/site/index.html").exists()


def test_four_input_channels_are_planned_without_a_dataset_and_refused_with_one(tiny: Callable[..., RunConfig]) -> None:
    four = [
        "model.arguments={channels: 4}",
        "model.input.channels=4",
        "model.input.mean=[0.5]",
        "model.input.std=[0.5]",
    ]
    prepared = prepare(tiny("dataset=none", "dataset.root=''", "dataset.label=none", *four))
    assert prepared.examples == ()
    assert prepared.plan.scan_tasks(()) == []
    assert prepared.plan.picture_keys
    with pytest.raises(ConfigError, match=r"model\.input\.channels=4.*dataset=none"):
        tiny(*four)


def test_the_same_images_in_tar_shards_and_parquet_make_the_same_atlas(
    tiny: Callable[..., RunConfig], images: Path, tmp_path: Path, finished: Path
) -> None:
    files = sorted(images.iterdir())
    shards = tmp_path / "shards"
    for number in range(3):
        write_tar(shards / f"{number}.tar", [(file.name, file.read_bytes()) for file in files[number::3]])
        rows = [{"image": {"bytes": file.read_bytes(), "path": file.name}} for file in files[number::3]]
        pq.write_table(pa.Table.from_pylist(rows), shards / f"{number}.parquet", row_group_size=2)
    for source in ("tar", "parquet"):
        overrides = (f"dataset={source}", f"dataset.root={shards}", "dataset.label=name")
        quietly(tiny(*overrides, root=tmp_path / source))
        assert tables(tmp_path / source) == tables(finished)


def test_a_torn_shard_is_one_row_of_the_failures_and_the_rest_is_scanned(
    tiny: Callable[..., RunConfig], images: Path, tmp_path: Path
) -> None:
    files = sorted(images.iterdir())
    path = write_tar(tmp_path / "shards/torn.tar", [(file.name, file.read_bytes()) for file in files])
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.index(files[8].read_bytes()) + 20])
    result = quietly(tiny("dataset=tar", f"dataset.root={path.parent}", "dataset.label=name"))
    assert result.unreadable == 1
    (failure,) = read_status(str(tmp_path / "atlas")).unreadable
    assert "torn.tar" in str(failure)
    assert {row["count"] for table in tables(tmp_path / "atlas").values() for row in table} == {8}


def test_four_channels_without_a_dataset_make_an_atlas(tiny: Callable[..., RunConfig], tmp_path: Path) -> None:
    four = [
        "dataset=none",
        "dataset.label=none",
        "model.arguments={channels: 4}",
        "model.input.channels=4",
        "model.input.mean=[0.5]",
    ]
    quietly(tiny(*four, "model.input.std=[0.25]", "sweep.select.0.include=[conv2]"))
    (rows,) = tables(tmp_path / "atlas").values()
    atlas = open_atlas(str(tmp_path / "atlas"))
    for row in rows:
        assert row["examples"] == []
        for shown in row["visualizations"]:
            assert shown["percentile"] is None
            assert shown["robustness_loss"] is not None or row["channel"] == 2  # the dead one
            image = atlas.image(row["unit"], shown["variant"])
            assert (image.mode, image.size) == ("L", (4 * 16, 16))  # its channels side by side


def test_units_that_are_not_channels_have_rows_of_their_own(tiny: Callable[..., RunConfig], tmp_path: Path) -> None:
    extra = [
        'sweep.combine=[{unit: "conv2:1 - 0.5*logit:2"}]',
        'sweep.interpolate=[{first: "conv1:1", last: "conv3:3", pictures: 3}]',
        "sweep.variants=[{objective: channel}, {objective: layer}, {objective: direction, directions: 2}]",
    ]
    quietly(tiny("sweep.select.0.include=[conv1]", *extra))
    labels = {
        name: [(row["channel"], row["unit"], len(row["visualizations"])) for row in rows]
        for name, rows in tables(tmp_path / "atlas").items()
    }
    channels = [(number, f"conv1:{number}", 1) for number in range(6)]
    whole = [(None, f"conv1:{name}", 1) for name in ("*", "random-0", "random-1")]
    assert list(labels.values()) == [
        [*channels, *whole],
        [(None, "conv1:1 → conv3:3", 3)],  # layers outside the sweep hold the pictures that are read from them last
        [(None, "conv2:1 - 0.5*logit:2", 1)],
    ]
    assert (tmp_path / "atlas" / "site" / "index.html").is_file()


def test_the_record_and_the_log_say_whether_the_network_ran_frozen(atlas_root: Path) -> None:
    record = json.loads((atlas_root / "plan" / "run.json").read_text())
    (log,) = (atlas_root / "logs").iterdir()
    noted = [line for line in map(json.loads, log.read_text().splitlines()) if line["event"] == "network"]
    assert {line["stage"]: line["ran"] for line in noted} == record["network"]
    assert {"scan", "optimize", "calibrate"} <= record["network"].keys()
    assert all(set(ways) == {"frozen"} for ways in record["network"].values())


def test_the_record_and_the_log_name_the_machine_that_last_bits_depend_on(atlas_root: Path) -> None:
    record = json.loads((atlas_root / "plan" / "run.json").read_text())
    (log,) = (atlas_root / "logs").iterdir()
    first = json.loads(log.read_text().splitlines()[0])
    assert record["machine"] == first["machine"]
    machine = record["machine"]
    # Batches have one fixed size: on every processor tried so far, an image's bits don't depend on the other images.
    assert (machine["batch_rows"], machine["batch_difference"], machine["threads"]) == (4, 0.0, 1)
    assert machine["processor"]
