"""The log of a run in its root."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import quietly

from network_atlas.config.schema import RunConfig
from network_atlas.errors import StoreError
from network_atlas.run.log import RunLog
from network_atlas.store.root import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "atlas"))


def lines(root: Path) -> list[dict[str, Any]]:
    """Return the events of the newest run."""
    newest = max((root / "logs").iterdir())
    return [json.loads(line) for line in newest.read_text().splitlines()]


def test_the_log_has_the_events_of_a_run_in_order(tiny: Callable[..., RunConfig], tmp_path: Path) -> None:
    quietly(tiny())
    events = lines(tmp_path / "atlas")
    stages = ["scan", "optimize", "calibrate", "assemble", "site"]
    story = [(event["event"], event.get("stage")) for event in events]
    *before, site = (
        [("stage_started", stage), ("stage_ended", stage), *([("network", stage)] if stage in stages[:3] else [])]
        for stage in stages
    )
    made = [event for of_stage in before for event in of_stage]
    published = ("published", None)
    assert story == [("run_started", None), ("layers", None), *made, published, *site, ("run_ended", None)]
    assert events[0]["versions"]["torch"]
    assert events[-1]["outcome"] == "done"
    assert [event["time"] for event in events] == sorted(event["time"] for event in events)
    optimize = next(event for event in events if story[events.index(event)] == ("stage_ended", "optimize"))
    assert (optimize["done"], optimize["failed"]) == (9, 0)


def test_a_run_with_nothing_to_do_leaves_no_log(tiny: Callable[..., RunConfig], tmp_path: Path) -> None:
    quietly(tiny())
    quietly(tiny())
    assert len(list((tmp_path / "atlas" / "logs").iterdir())) == 1


def test_a_failed_task_is_in_the_log(
    tiny: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> object:
        raise RuntimeError("this breaks")

    monkeypatch.setattr("network_atlas.optimize.worker.optimize", broken)
    assert quietly(tiny()).quarantined
    events = lines(tmp_path / "atlas")
    failed = [event for event in events if event["event"] == "task_failed"]
    assert len(failed) == 36
    assert failed[0]["error"] == "RuntimeError: this breaks"
    assert len({unit for event in failed for unit in event["units"]}) == 36
    assert events[-1]["outcome"] == "done"


@pytest.mark.parametrize(
    ("error", "outcome"), [(KeyboardInterrupt(), "stopped"), (ValueError("odd"), "failed"), (None, "done")]
)
def test_the_last_line_says_how_the_run_ended(
    store: Store, tmp_path: Path, error: BaseException | None, outcome: str
) -> None:
    def work() -> None:
        with RunLog(store) as log:
            log.event("stage_started", stage="scan")
            if error is not None:
                raise error

    if error is None:
        work()
    else:
        with pytest.raises(type(error)):
            work()
    assert lines(tmp_path / "atlas")[-1]["outcome"] == outcome


def test_the_log_is_written_during_the_run_but_not_at_every_event(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes = []
    write = Store.write

    def counted(self: Store, path: str, data: bytes) -> None:
        write(self, path, data)
        writes.append(path)

    monkeypatch.setattr(Store, "write", counted)
    with RunLog(store, every_seconds=0.2) as log:
        for number in range(100):
            log.event("task_failed", task=number)
        end = time.monotonic() + 10
        while not writes and time.monotonic() < end:
            time.sleep(0.02)
        assert len(lines(tmp_path / "atlas")) == 100
    assert len(writes) == 2
    assert len(lines(tmp_path / "atlas")) == 101


def test_a_log_that_cannot_be_written_does_not_end_the_run(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(self: Store, path: str, data: bytes) -> None:
        raise StoreError("no space left on device")

    monkeypatch.setattr(Store, "write", full)
    with RunLog(store) as log:
        log.event("published")
    assert "no space left" in caplog.text


def test_names_of_runs_sort_by_their_start(store: Store) -> None:
    first = RunLog(store).run
    time.sleep(1.1)
    assert first < RunLog(store).run


def test_warnings_during_a_run_are_in_its_log(store: Store) -> None:
    with RunLog(store) as log:
        log.event("stage_started", stage="scan")
        logging.getLogger("network_atlas.executors.ray_cluster").warning("a worker was lost (%s)", "SIGKILL")
    logging.getLogger("network_atlas.executors.ray_cluster").warning("later")
    lines = [json.loads(line) for line in store.read(log.path).decode().splitlines()]
    assert [line["message"] for line in lines if line["event"] == "warning"] == ["a worker was lost (SIGKILL)"]
