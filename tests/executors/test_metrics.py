"""Prometheus gets counts by stage, and by nothing finer."""

from __future__ import annotations

import importlib.util
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter

import pytest
from executors.example_workers import ExampleTask, spec
from processes import PYTHON_PATH

from network_atlas.executors.base import Outcome, TaskDone, TaskFailed, WorkerSpec
from network_atlas.executors.ray_metrics import StageMetrics

SCAN = WorkerSpec("network_atlas.scan.worker:ScanWorker", spec().config, stage="scan")


class Recorder:
    """A stand-in for a metric of Ray's that keeps its numbers."""

    def __init__(self) -> None:
        self.seen: Counter[tuple[tuple[str, str], ...]] = Counter()

    def inc(self, value: float, tags: dict[str, str]) -> None:
        self.seen[tuple(tags.items())] += value  # type: ignore[assignment]

    observe = inc


def test_tasks_are_counted_by_stage_and_outcome_and_pass_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    recorders = [Recorder(), Recorder(), Recorder()]
    waiting = iter(recorders)
    for name in ("Counter", "Histogram"):
        monkeypatch.setattr(f"network_atlas.executors.ray_metrics.{name}", lambda *_, **__: next(waiting))
    tasks, items, seconds = recorders
    outcomes: list[Outcome] = [
        *(TaskDone(ExampleTask(str(number)), receipt=None, seconds=2.0) for number in range(3)),
        TaskFailed(ExampleTask("bad"), error="x", details=""),
    ]
    assert list(StageMetrics().counted(SCAN, outcomes)) == outcomes
    scan = ("stage", "scan")
    assert tasks.seen == {(scan, ("outcome", "done")): 3, (scan, ("outcome", "failed")): 1}
    assert (items.seen, seconds.seen) == ({(scan,): 3}, {(scan,): 6.0})


RUN = """
import time, ray, sys
from executors.example_workers import ExampleTask, ray_config, spec
from network_atlas.executors import open_executor
ray.init(num_cpus=2, include_dashboard=False, _metrics_export_port=int(sys.argv[1]), logging_level="ERROR")
with open_executor(ray_config()) as executor:
    tasks = [*(ExampleTask(str(number)) for number in range(5)), ExampleTask("bad", "fail")]
    list(executor.run(spec(), tasks))
    sys.stdin.read()
"""


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("opentelemetry") is None, reason="needs ray[default], which exports them")
def test_prometheus_can_read_them_from_a_node() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"PYTHONPATH": PYTHON_PATH, "RAY_AUTH_MODE": "disabled"}
    command = [sys.executable, "-c", RUN, str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment) as run:
        try:
            text = _scraped(port)
        finally:
            run.kill()
    ours = [line for line in text.splitlines() if re.match(r"(ray_)?atlas_", line)]
    done = [line for line in ours if "atlas_tasks" in line and 'outcome="done"' in line]
    assert done, ours
    assert done[0].endswith(" 5.0")
    assert 'stage="example"' in done[0]


def _scraped(port: int, seconds: float = 60) -> str:
    """Return a node's exported text once our counts are in it."""
    end, text = time.monotonic() + seconds, ""
    while "atlas_task_seconds" not in text and time.monotonic() < end:
        time.sleep(1)
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                text = answer.read().decode()
        except (urllib.error.URLError, OSError):
            continue
    return text
