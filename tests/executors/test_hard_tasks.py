"""Tasks that harm their process harm no other task. Those that raise or kill are in `test_executors`."""

from __future__ import annotations

import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from executors.example_workers import ExampleTask
from snapshots import partial_files, staged

from network_atlas.executors.base import Executor, Outcome, TaskDone, TaskFailed, WorkerSpec
from network_atlas.store.receipts import is_whole, read_receipts
from network_atlas.store.root import Store


def outcomes(executor: Executor, name: str, tasks: list[ExampleTask]) -> dict[str, Outcome]:
    """Run `tasks` on a hard worker and return their outcomes; each has exactly one."""
    target = WorkerSpec(f"executors.hard_workers:{name}", None)  # type: ignore[arg-type]
    ended = list(executor.run(target, tasks))
    by_task = {outcome.task.id: outcome for outcome in ended}
    assert len(by_task) == len(ended)
    return by_task


def test_a_task_that_takes_too_much_memory_fails_alone(executor: Executor, tmp_path: Path) -> None:
    tasks = [ExampleTask("glutton", "eat_memory", str(tmp_path)), *(ExampleTask(str(number)) for number in range(6))]
    ended = outcomes(executor, "HardWorker", tasks)
    glutton = ended.pop("glutton")
    assert isinstance(glutton, TaskFailed)
    assert "MemoryError" in glutton.error
    assert not glutton.fatal
    assert len(ended) == 6
    assert all(isinstance(outcome, TaskDone) for outcome in ended.values())


@pytest.mark.ray
def test_a_late_commit_of_a_replaced_worker_changes_nothing(ray_executor: Executor, tmp_path: Path) -> None:
    tasks = [ExampleTask(str(number), folder=str(tmp_path)) for number in range(4)]
    tasks.append(ExampleTask("late", "write_late", str(tmp_path), times=1))
    ended = outcomes(ray_executor, "CommittingWorker", tasks)
    assert all(isinstance(outcome, TaskDone) for outcome in ended.values())
    root = tmp_path / "atlas"
    before = rows(root)
    assert (tmp_path / "late").stat().st_size == 2  # two tries
    end = time.monotonic() + 60
    while not (tmp_path / "through").exists():
        assert time.monotonic() < end
        time.sleep(0.05)
    assert rows(root) == before
    assert sorted(before) == ["0", "1", "2", "3", "late"]
    assert partial_files(root) == staged(root) == []


def rows(root: Path) -> dict[str, list[dict[str, object]]]:
    """Return the rows of every task; each task has one receipt, and a receipt names every shard."""
    store = Store.open(str(root))
    receipts, sizes = read_receipts(store, "optimize"), store.sizes("visualizations")
    assert all(is_whole(receipt, sizes) for receipt in receipts)
    assert {file.path for receipt in receipts for file in receipt.files} == set(sizes)
    return {
        receipt.task: [row for file in receipt.files for row in pq.ParquetFile(root / file.path).read().to_pylist()]
        for receipt in receipts
    }
