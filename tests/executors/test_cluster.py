"""A real cluster of several nodes: it grows, shrinks, has GPUs, and a run on it is asked to stop."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from processes import PYTHON_PATH

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture(scope="module")
def seen() -> dict[str, dict[str, Any]]:
    """The program's numbers, by part. In a new process: Ray can be started once, and a part ends by a signal."""
    program = Path(__file__).with_name("on_a_cluster.py")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, str(program)],
        env=kept | {"PYTHONPATH": PYTHON_PATH, "RAY_worker_niceness": "0"},
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    parts: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return parts


def test_new_node_gets_a_host_and_when_it_is_gone_its_seat_is_closed_and_its_tasks_are_done_elsewhere(
    seen: dict[str, dict[str, Any]],
) -> None:
    assert seen["breathe"] == {"done": 60, "first": 1, "most": 2, "last": 1}


def test_what_is_in_flight_ends_after_sigterm_and_nothing_new_begins(seen: dict[str, dict[str, Any]]) -> None:
    assert seen["stop"]["ended"] == 4  # two when the signal came, and the two that the host held
    assert seen["stop"]["seconds"] < 5


def test_a_shared_gpu_goes_to_stages_that_compute_and_no_others(seen: dict[str, dict[str, Any]]) -> None:
    assert seen["gpus"] == {"seen": [["0"], [""]], "hosts": [2, 2]}


def test_doctor_joins_it_and_asks_for_its_capacity(seen: dict[str, dict[str, Any]]) -> None:
    address = seen["capacity"]["address"]
    assert seen["capacity"]["fits"] == f"{address}: capacity for 1 worker"
    assert "no machine for a worker that needs 64 processors" in seen["capacity"]["too_much"]
