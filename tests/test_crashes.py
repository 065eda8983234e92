"""A failure at any step of the filesystem changes nothing: the same work, done again, ends as if it had not failed.

A small commit is stopped hard at every step, and gets an error at every fourth. A whole run gets one or the other, in
turn, at every sixtieth step. With --exhaustive everything is tried at each step (half an hour).
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import INLINE, TINY
from crashing import STOPPED, Crashing, Ended, commit_some
from forked import Forking
from snapshots import differences, partial_files, snapshot, staged

from network_atlas.store.manifest import latest
from network_atlas.store.receipts import is_whole, read_receipts
from network_atlas.store.root import STAGING, STAGING_SECONDS, Store

COMMIT_EVERY = {"error": 4, "gone": 4, "stop": 1}
RUN_EVERY = 120
"""Steps from one failure to the next."""
RUN_FIRST = {"error": 1, "stop": 61}
"""The first step of a whole run at which each kind of failure is tried."""
SMALL = [
    "scan.span=6",
    'sweep.select.0.include=["conv2"]',
    'sweep.select.0.channels="0:2"',
    "sweep.variants=[{objective: channel}]",
    "optimize.steps=2",
]


@pytest.fixture(scope="module")
def commits(forking: Forking, tmp_path_factory: pytest.TempPathFactory) -> Crashing:
    return Crashing(forking, tmp_path_factory.mktemp("commits"), "commit")


def committed(root: Path) -> dict[str, list[dict[str, object]]]:
    """Return the rows behind every receipt, which must be whole, by task."""
    store = Store.open(str(root))
    sizes = store.sizes("visualizations")
    receipts = read_receipts(store, "optimize")
    assert all(is_whole(receipt, sizes) for receipt in receipts)
    files = {receipt.task: file.path for receipt in receipts for file in receipt.files}
    return {task: pq.ParquetFile(root / path).read().to_pylist() for task, path in files.items()}


@pytest.mark.parametrize("how", ["error", "gone", "stop"])
def test_a_commit_that_fails_at_any_step_is_whole_or_not_there(
    commits: Crashing, tmp_path: Path, how: str, exhaustive: bool
) -> None:
    undisturbed = commits.work(tmp_path / "undisturbed")
    assert undisturbed.code == 0, undisturbed.output
    assert len(undisturbed.steps) > 50
    whole = committed(tmp_path / "undisturbed")
    assert list(whole) == ["a", "b", "c"]
    for step in range(1, len(undisturbed.steps) + 1, 1 if exhaustive else COMMIT_EVERY[how]):
        root = tmp_path / str(step)
        ended = commits.work(root, fail_at=step, how=how)
        assert ended.code in ((STOPPED,) if how == "stop" else (0, 1)), ended.output
        check_nothing_partial(root, how, ended)
        assert committed(root).items() <= whole.items()
        commit_some(str(root))
        assert committed(root) == whole
        manifest = latest(Store.open(str(root)))
        assert manifest is not None
        assert (manifest.number, len(manifest.files)) == (1, 3)


def check_nothing_partial(root: Path, how: str, ended: Ended) -> None:
    assert partial_files(root) == []
    assert len(staged(root)) <= (how != "error"), f"{staged(root)} after {ended.steps[-1:]}"


@pytest.fixture(scope="module")
def runs(forking: Forking, tmp_path_factory: pytest.TempPathFactory) -> Crashing:
    return Crashing(forking, tmp_path_factory.mktemp("runs"), "run")


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("how", ["error", "stop"])
def test_a_run_that_fails_at_a_step_is_resumed_as_if_it_had_not_failed(
    runs: Crashing, images: Path, tmp_path: Path, how: str, exhaustive: bool
) -> None:
    first, every = (1, 1) if exhaustive else (RUN_FIRST[how], RUN_EVERY)
    overrides = [*TINY, *INLINE, *SMALL, f'dataset.root="{images}"', "dataset.label=name"]
    undisturbed = runs.work(tmp_path / "undisturbed", overrides)
    assert undisturbed.code == 0, undisturbed.output
    whole = snapshot(tmp_path / "undisturbed")
    for step in range(first, len(undisturbed.steps) + 1, every):
        root = tmp_path / str(step)
        ended = runs.work(root, overrides, fail_at=step, how=how)
        if not ended.code and len(ended.steps) < step:
            break  # a slow run writes its log once more
        where = f"step {step}, {undisturbed.steps[step - 1]}: {ended.output}"
        assert ended.code in ((STOPPED,) if how == "stop" else (0, 1)), where
        assert "Traceback" not in ended.output, where
        check_nothing_partial(root, how, ended)
        age_staging(root)
        again = runs.work(root, overrides)
        assert again.code == 0, f"{where}\nagain: {again.output}"
        resumed = snapshot(root)
        assert differences(resumed, whole) == [], where
        assert (resumed.lost(whole), resumed.double) == (0, 0), where
        assert staged(root) == [], where
        assert not (root / "lease.json").exists(), where


def age_staging(root: Path) -> None:
    """Date the files in the staging folder back, so that a run clears them away."""
    for name in staged(root):
        os.utime(root / STAGING / name, (time.time() - 2 * STAGING_SECONDS,) * 2)
