"""Where memory runs out: smaller pieces, the same results. The network really runs, and raises as CUDA does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from conftest import quietly

from network_atlas.calibrate import worker as calibrate
from network_atlas.config.schema import RunConfig
from network_atlas.models.memory import FittingBatch
from network_atlas.optimize import worker as optimize
from network_atlas.run.prepare import prepare
from network_atlas.scan.worker import ScanWorker

TIGHT = [
    "model.name=tiny_network:tight",
    'sweep.select.0.include=["inner.conv3"]',
    'sweep.select.0.channels="0:2"',
    'sweep.variants=[{objective: channel}, {objective: channel, seed: 1}, {objective: channel, sign: "-"}]',
    "sweep.select.0.types=[]",
    "scan.span=6",
]


def summed(numbers: list[int], memory: int, part: slice) -> list[int]:
    if len(numbers[part]) > memory:
        raise torch.OutOfMemoryError
    return [number + 1 for number in numbers[part]]


@pytest.mark.parametrize("count", [0, 1, 5, 64, 100])
@pytest.mark.parametrize("memory", [1, 3, 200])
def test_all_items_are_done_once_and_in_order_whatever_fits(count: int, memory: int) -> None:
    numbers, batch = list(range(count)), FittingBatch(64)
    assert batch.over(lambda part: summed(numbers, memory, part), count) == [number + 1 for number in numbers]


def test_what_fits_is_remembered_and_nothing_larger_tried_again() -> None:
    batch, tried = FittingBatch(64), list[int]()

    def work(size: int) -> int:
        tried.append(size)
        if size > 5:
            raise torch.OutOfMemoryError
        return size

    assert [batch.fit(work), batch.fit(work), batch.fit(work, 2)] == [4, 4, 2]
    assert tried == [64, 32, 16, 8, 4, 4, 2]


def test_what_never_fits_is_raised() -> None:
    def work(size: int) -> None:
        raise torch.OutOfMemoryError(f"not enough memory for {size}")

    with pytest.raises(torch.OutOfMemoryError, match="not enough memory for 1"):
        FittingBatch(8).fit(work)


def table(root: Path, folder: str) -> pa.Table:
    parts = [pq.read_table(path) for path in sorted((root / folder).rglob("*.parquet"))]
    return pa.concat_tables(parts)


def test_a_run_with_little_memory_has_the_results_of_one_in_small_batches(
    tiny: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quietly(tiny(*TIGHT, "scan.batch=8", "optimize.batch=8", root=tmp_path / "large"))
    monkeypatch.setattr(calibrate, "AT_ONCE", 4)
    monkeypatch.setattr(optimize, "MEASURED_AT_ONCE", 4)
    quietly(tiny(*TIGHT, "scan.batch=4", "optimize.batch=4", root=tmp_path / "small"))
    for folder in ("atlas", "channel_stats", "activation_samples", "calibrations"):
        assert table(tmp_path / "large", folder).equals(table(tmp_path / "small", folder))


def test_a_worker_remembers_what_fits(tiny: Callable[..., RunConfig], caplog: pytest.LogCaptureFixture) -> None:
    prepared = prepare(tiny(*TIGHT, "scan.batch=8"))
    worker = ScanWorker(prepared.config, threads=1)
    tasks = prepared.plan.scan_tasks(set())
    assert len(tasks) == 2
    for task in tasks:
        worker.run(task)
    assert caplog.text.count("images at once; continuing with") == 1
