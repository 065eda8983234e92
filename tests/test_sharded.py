"""Runs that do a share of a sweep each (`sweep.share`), on one root."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import INLINE, TINY, quietly
from forked import Forking

from network_atlas.cli.main import main
from network_atlas.config.schema import RunConfig
from network_atlas.errors import RootBusyError
from network_atlas.plan.calibration import calibrate_tasks
from network_atlas.run.inputs import StoredFiles
from network_atlas.run.prepare import prepare
from network_atlas.run.status import read_status
from network_atlas.store.lease import Lease, lease_files, read_lease
from network_atlas.store.manifest import latest
from network_atlas.store.receipts import read_receipts
from network_atlas.store.results import what_is_done
from network_atlas.store.root import Store

SHARES = ("1/3", "2/3", "3/3")


def tables(root: Path) -> dict[str, object]:
    """Return every atlas table under `root` as rows, images included."""
    return {path.name: pq.read_table(path).to_pylist() for path in sorted((root / "atlas").iterdir())}


def test_shares_one_after_the_other_and_a_plain_run_make_the_atlas_of_one_run(
    tiny: Callable[..., RunConfig], tmp_path: Path, atlas_root: Path
) -> None:
    for share in (*SHARES, *SHARES):  # the second round makes the measurements that waited for the whole scan
        result = quietly(tiny(f"sweep.share={share}"))
        assert result.manifest is None
    store = Store.open(str(tmp_path / "atlas"))
    assert latest(store) is None
    before = {stage: read_receipts(store, stage) for stage in ("scan", "optimize", "calibrate")}
    result = quietly(tiny())
    assert (result.pictures, result.quarantined, result.waiting) == (36, 0, 0)
    assert {stage: read_receipts(store, stage) for stage in before} == before  # nothing was left to make
    assert tables(tmp_path / "atlas") == tables(atlas_root)


def test_a_plain_run_makes_what_the_shares_left_waiting(
    tiny: Callable[..., RunConfig], tmp_path: Path, atlas_root: Path
) -> None:
    waiting = [quietly(tiny(f"sweep.share={share}")).waiting for share in SHARES]
    assert waiting[0] > 0
    assert waiting[-1] == 0  # all spans were scanned before it measured
    quietly(tiny())
    assert tables(tmp_path / "atlas") == tables(atlas_root)


def test_pictures_that_start_from_the_scan_wait_for_all_of_it(tiny: Callable[..., RunConfig]) -> None:
    facets = "sweep.variants=[{objective: channel, start: example}]"
    first = [quietly(tiny(facets, f"sweep.share={share}")) for share in SHARES]
    assert [result.pictures for result in first[:-1]] == [0, 0]
    again = [quietly(tiny(facets, f"sweep.share={share}")) for share in SHARES]
    assert sum(result.pictures for result in again) == 18
    assert [result.waiting for result in again] == [0, 0, 0]


def test_shares_at_the_same_time_make_the_atlas_of_one_run(
    tiny: Callable[..., RunConfig], forking: Forking, images: Path, tmp_path: Path, atlas_root: Path
) -> None:
    root = tmp_path / "atlas"
    paths = [*TINY, *INLINE, f'dataset.root="{images}"', "dataset.label=name", f'store.root="{root}"']
    runs = [forking.atlas("run", *paths, f"sweep.share={share}") for share in SHARES]
    assert [run.wait() for run in runs] == [0, 0, 0], [run.output for run in runs]
    assert not (root / "atlas").exists()
    quietly(tiny())
    assert tables(root) == tables(atlas_root)


def test_nothing_is_measured_before_the_images_own_statistics_are_there(
    tiny: Callable[..., RunConfig], tmp_path: Path
) -> None:
    quietly(tiny())
    prepared = prepare(tiny())
    done = what_is_done(prepared.store)
    every = len(calibrate_tasks(prepared.plan, finished=done.optimize, done=()))
    for known, tasks in ((done, every), (replace(done, statistics={}), 0)):
        inputs = StoredFiles(prepared, known)
        assert len(calibrate_tasks(prepared.plan, finished=done.optimize, done=(), inputs=inputs)) == tasks
    assert every


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "root"))


@pytest.mark.parametrize(
    ("held", "asked"), [("", "1/2"), ("1/2", ""), ("1/2", "1/2"), ("1/2", "1/4"), ("2/12", "2/2"), ("", "")]
)
def test_runs_that_would_do_the_same_exclude_each_other(store: Store, held: str, asked: str) -> None:
    with (
        Lease(store, "a", held),
        pytest.raises(RootBusyError, match="worked on by"),
        Lease(store, "b", asked),
    ):
        pass


def test_shares_of_one_division_work_at_the_same_time_and_are_all_named(finished_lease: Store) -> None:
    with Lease(finished_lease, "a", "1/12"), Lease(finished_lease, "b", "12/12"):
        holders = [read_lease(finished_lease, path) for path in lease_files(finished_lease)]
        assert sorted(holder["run"] for holder in holders if holder) == ["a", "b"]
        status = read_status(finished_lease.root)
        assert sorted(holder.run for holder in status.holders) == ["a", "b"]
    assert lease_files(finished_lease) == ["lease.json"]


@pytest.fixture
def finished_lease(tiny: Callable[..., RunConfig], tmp_path: Path) -> Store:
    """The root of a share that is done."""
    quietly(tiny("sweep.share=1/3", "sweep.select.0.channels='0:1'"))
    return Store.open(str(tmp_path / "atlas"))


def test_a_refused_run_names_the_share_that_is_running(store: Store) -> None:
    with Lease(store, "a", "2/8"), pytest.raises(RootBusyError, match=r"sweep\.share=2/8, since"), Lease(store, "b"):
        pass


def test_a_share_says_that_nothing_is_published_and_what_waits(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [*TINY, *INLINE, f'dataset.root="{images}"', f'store.root="{tmp_path / "atlas"}"']
    assert main(["run", *paths, "sweep.share=1/3"]) == 0
    output = capsys.readouterr().out
    assert "Share 1/3: " in output
    assert "waiting for scans of other shares" in output
    assert "without sweep.share" in output


def test_the_plan_of_a_share_counts_only_that_share(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [*TINY, *INLINE, f'dataset.root="{images}"', f'store.root="{tmp_path / "atlas"}"']

    def totals(*overrides: str) -> list[int]:
        assert main(["plan", *paths, *overrides, "--json"]) == 0
        return [stage["total"] for stage in json.loads(capsys.readouterr().out)["stages"][:3]]

    shares = [totals(f"sweep.share={share}") for share in SHARES]
    assert [sum(column) for column in zip(*shares, strict=True)] == totals() == [3, 36, 36]


def test_the_name_of_a_run_says_what_it_makes_and_where(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [*TINY, *INLINE, f'dataset.root="{images}"', f'store.root="{tmp_path / "atlas"}"']

    def name(*overrides: str) -> str:
        assert main(["plan", "--id", *paths, *overrides]) == 0
        return capsys.readouterr().out.strip()

    first = name()
    assert first.startswith("atlas-")
    assert len(first) <= 40
    assert first == name() == name("scan.batch=2", "executor.threads=2", "optimize.batch=3")
    others = [name("sweep.share=1/3"), name("optimize.steps=5"), name(f"store.root={tmp_path / 'other'}")]
    assert len({first, *others}) == 4
