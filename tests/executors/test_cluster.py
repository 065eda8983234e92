"""A cluster of several nodes, for real: it grows, shrinks, is told to stop. Each in a process of its own."""

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


def happens(program: str) -> dict[str, Any]:
    """Run one of the programs of `on_a_cluster` and return what it says."""
    tests = Path(__file__).parents[1]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, str(tests / "executors/on_a_cluster.py"), program],
        env=kept | {"PYTHONPATH": PYTHON_PATH},
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_new_node_gets_a_host_and_when_it_is_gone_its_place_is_closed_and_its_tasks_are_done_elsewhere() -> None:
    assert happens("breathe") == {"done": 50, "first": 1, "most": 2, "last": 1}


def test_what_is_in_flight_ends_after_sigterm_and_nothing_new_begins() -> None:
    found = happens("stop")
    assert found["ended"] == 4  # two when the signal came, and the two that the host held
    assert found["seconds"] < 5


def test_shared_gpus_go_to_stages_that_compute_and_no_others() -> None:
    found = happens("gpus")
    assert found == {"seen": [["0", "1"], [""]], "hosts": [4, 4]}
