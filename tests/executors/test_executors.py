"""Both executors keep the same promises; on Ray, a worker's death costs no other task."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from executors.example_workers import ExampleTask, ray_config, spec
from processes import PYTHON_PATH

from network_atlas.config.executor import InlineConfig
from network_atlas.errors import ConfigError, SetupError, WorkerBuildError
from network_atlas.executors import open_executor
from network_atlas.executors.base import Executor, Outcome, TaskDone, TaskFailed
from network_atlas.executors.environment import check_reachable, workers_that_fit


def outcomes(executor: Executor, tasks: list[ExampleTask], **how: object) -> dict[str, Outcome]:
    """Run `tasks` and return their outcomes by task; no task may have two."""
    ended = list(executor.run(spec(**how), tasks))  # type: ignore[arg-type]
    by_task = {outcome.task.id: outcome for outcome in ended}
    assert len(by_task) == len(ended) == len(tasks)
    return by_task


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in a new process, without the settings for Ray of this one."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    kept |= {"PYTHONPATH": PYTHON_PATH, **environment}
    return subprocess.run([sys.executable, "-c", code], env=kept, capture_output=True, text=True, timeout=90)


def neighbours(count: int = 4) -> list[ExampleTask]:
    return [ExampleTask(f"neighbour{number}") for number in range(count)]


def test_every_task_has_exactly_one_outcome(executor: Executor) -> None:
    tasks = [ExampleTask(f"t{number}") for number in range(40)]
    ended = outcomes(executor, tasks)
    assert all(isinstance(outcome, TaskDone) for outcome in ended.values())
    assert all(ended[task.id].task is task for task in tasks)


def test_no_tasks_start_nothing() -> None:
    for config in (ray_config(), InlineConfig(name="inline", threads=0)):
        with open_executor(config) as executor:
            assert list(executor.run(spec("UnbuildableWorker"), [])) == []


def test_workers_get_their_threads_and_are_kept(executor: Executor) -> None:
    first = outcomes(executor, neighbours(), settings="kept")
    outcomes(executor, neighbours(), name="OtherWorker", settings="kept")
    again = outcomes(executor, neighbours(), settings="kept")
    assert all(outcome.receipt["threads"] == 1 for outcome in first.values())  # type: ignore[union-attr,index]
    assert max(outcome.receipt["seen"] for outcome in again.values()) > 2  # type: ignore[union-attr,index]


def test_task_that_raises_twice_fails_and_the_others_go_on(executor: Executor, tmp_path: Path) -> None:
    ended = outcomes(executor, [ExampleTask("bad", "fail", str(tmp_path)), *neighbours()])
    bad = ended.pop("bad")
    assert isinstance(bad, TaskFailed)
    assert (bad.error, bad.fatal) == ("ValueError: not today", False)
    assert "example_workers.py" in bad.details
    assert (tmp_path / "bad").stat().st_size == 2
    assert all(isinstance(outcome, TaskDone) for outcome in ended.values())


def test_task_that_raises_once_is_done(executor: Executor, tmp_path: Path) -> None:
    ended = outcomes(executor, [ExampleTask("shaky", "fail", str(tmp_path), times=1), *neighbours()])
    assert all(isinstance(outcome, TaskDone) for outcome in ended.values())


def test_exception_that_cannot_be_pickled_is_an_ordinary_failure(executor: Executor, tmp_path: Path) -> None:
    ended = outcomes(executor, [ExampleTask("odd", "fail_oddly", str(tmp_path)), *neighbours()])
    assert isinstance(ended["odd"], TaskFailed)
    assert "cannot be rebuilt" in ended["odd"].error


def test_store_error_is_fatal_at_once(executor: Executor, tmp_path: Path) -> None:
    ended = outcomes(executor, [ExampleTask("lost", "lose_store", str(tmp_path))])
    assert isinstance(ended["lost"], TaskFailed)
    assert ended["lost"].fatal
    assert (tmp_path / "lost").stat().st_size == 1


def test_worker_that_cannot_be_built_ends_the_run(executor: Executor) -> None:
    with pytest.raises(WorkerBuildError, match="there is no model 'resnet51'"):
        list(executor.run(spec("UnbuildableWorker"), neighbours()))
    with pytest.raises(WorkerBuildError, match="NoSuchWorker"):
        list(executor.run(spec("NoSuchWorker"), neighbours()))
    assert outcomes(executor, neighbours())


def test_run_left_early_leaves_a_usable_executor(executor: Executor) -> None:
    run = executor.run(spec(), neighbours(20))
    next(run)
    run.close()  # type: ignore[attr-defined]
    outcomes(executor, neighbours())


def test_keyboard_interrupt_passes(inline_executor: Executor, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        list(inline_executor.run(spec(), [ExampleTask("stop", "interrupt", str(tmp_path))]))


def test_inline_does_tasks_in_order(inline_executor: Executor) -> None:
    tasks = neighbours(9)
    assert [outcome.task for outcome in inline_executor.run(spec(), tasks)] == tasks


def test_open_executor_loads_neither_ray_nor_torch_for_inline() -> None:
    done = python(
        "import sys; from network_atlas.executors import open_executor;"
        "from network_atlas.config.executor import InlineConfig;"
        "open_executor(InlineConfig(name='inline', threads=0));"
        "assert not {'ray', 'torch'} & set(sys.modules)"
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.ray
def test_killed_worker_costs_only_another_try_and_one_line_of_ours(
    ray_executor: Executor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outcomes(ray_executor, neighbours())
    started = time.time()
    ended = outcomes(ray_executor, [ExampleTask("victim", "kill", str(tmp_path), times=1), *neighbours(7)])
    assert all(isinstance(outcome, TaskDone) for outcome in ended.values())
    assert ended["victim"].receipt["at"] - started < 10  # type: ignore[union-attr,index]
    assert [record.getMessage().startswith("a worker was lost (") for record in caplog.records] == [True]


@pytest.mark.ray
def test_task_that_always_kills_its_process_fails_its_neighbours_are_done_and_ray_is_silent(
    ray_executor: Executor, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ended = outcomes(ray_executor, [ExampleTask("killer", "kill", str(tmp_path)), *neighbours(7)])
    killer = ended.pop("killer")
    assert isinstance(killer, TaskFailed)
    assert "the worker process died 4 times on this task" in killer.error
    assert (tmp_path / "killer").stat().st_size == 4
    assert all(isinstance(outcome, TaskDone) for outcome in ended.values())
    assert capfd.readouterr() == ("", "")  # Ray itself would print a notice of each death


@pytest.mark.ray
def test_workers_that_die_at_their_start_end_the_run(ray_executor: Executor) -> None:
    with pytest.raises(WorkerBuildError, match="3 worker processes in a row died"):
        list(ray_executor.run(spec("DyingWorker"), neighbours(1)))
    outcomes(ray_executor, neighbours())


@pytest.mark.ray
def test_two_slow_tasks_run_side_by_side(ray_executor: Executor, tmp_path: Path) -> None:
    ended = outcomes(ray_executor, [ExampleTask(name, "meet", str(tmp_path)) for name in ("one", "two")])
    assert len({outcome.receipt["pid"] for outcome in ended.values()}) == 2  # type: ignore[union-attr,index]


@pytest.mark.ray
def test_workers_know_their_threads_and_see_no_gpu(ray_executor: Executor) -> None:
    ended = outcomes(ray_executor, [ExampleTask("look")], name="EnvironmentWorker")
    assert ended["look"].receipt == {  # type: ignore[union-attr]
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "RAY_USAGE_STATS_ENABLED": "0",
    }


@pytest.mark.parametrize(
    ("gpus", "share", "expected"), [(0, 0, 8), (2, 1, 2), (2, 0.1, 8), (2, 0.4, 4), (0, 1, 0), (8, 4, 2)]
)
def test_capacity_counts_processors_and_gpus(gpus: int, share: float, expected: int) -> None:
    config = ray_config()
    object.__setattr__(config, "gpus_per_worker", share)
    assert workers_that_fit({"CPU": 8, "GPU": gpus}, config.cpus_per_worker, config.gpus_per_worker) == expected


def test_cluster_that_is_not_there_is_a_config_error(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    def no_cluster(**_: object) -> None:
        raise ConnectionError("Could not find any running Ray instance.")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", no_cluster)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    config = dataclasses.replace(ray_config(), address="auto")
    with pytest.raises(ConfigError, match=r"executor\.address='auto'.*any running Ray"):
        list(open_executor(config).run(spec(), neighbours()))


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1"])
def test_address_where_nobody_answers_is_an_error_at_once(address: str) -> None:
    """Ray itself would try for minutes, and not react to signals."""
    began = time.monotonic()
    with pytest.raises(SetupError, match=r"nobody answers at executor\.address="):
        check_reachable(address)
    assert time.monotonic() - began < 10


@pytest.mark.ray
def test_run_on_a_cluster_that_is_not_there_says_so(tmp_path: Path) -> None:
    code = (
        "from executors.example_workers import *; from network_atlas.executors import open_executor\n"
        "with open_executor(ray_config(address='127.0.0.1:1')) as executor:\n"
        "    list(executor.run(spec(), [ExampleTask('t')]))"
    )
    done = python(code)
    assert done.returncode == 1
    assert "nobody answers at executor.address='127.0.0.1:1'" in done.stderr
