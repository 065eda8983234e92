"""A network is trained, and trained further, while `atlas watch` works beside it in a process of its own.

Each part of it has a quicker test in `test_watch.py`.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from digits_network import build, train, write_digits
from forked import Forked, Forking

from network_atlas.rerun.record import Record
from network_atlas.store.manifest import latest
from network_atlas.store.root import Store

OVERRIDES = [
    "model=function",
    "model.name=digits_network:build",
    "model.allow_code=true",
    "model.input={channels: 1, height: 8, width: 8, resize: 8, mean: [0.5], std: [0.5]}",
    "dataset=folder",
    "dataset.label=folder",
    "scan.span=64",
    "sweep=select",
    'sweep.select.0.include=["*"]',
    "sweep.select.0.types=[Conv2d,Linear]",
    "sweep.select.0.spread=4",
    "optimize.height_px=8",
    "optimize.width_px=8",
    "optimize.steps=8",
    "optimize/transform=classic",
    "optimize.transform.jitter_px=1",
    "assemble.crop_px=16",
    "executor=inline",
    "executor.threads=1",
]


@pytest.fixture
def watching(forking: Forking, tmp_path: Path) -> Iterator[Callable[..., Forked]]:
    started: list[Forked] = []

    def start(*words: str) -> Forked:
        paths = [f"dataset.root={tmp_path}/digits", f"store.root={tmp_path}/atlas"]
        started.append(forking.atlas("watch", f"{tmp_path}/runs/*.pt", *words, *OVERRIDES, *paths))
        return started[-1]

    yield start
    for process in started:
        process.kill()


def wait_until(condition: Callable[[], bool], watch: Forked, *, seconds: float = 100) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if watch.poll() is not None or time.monotonic() > end:
            pytest.fail(watch.output)
        time.sleep(0.1)


@pytest.mark.exhaustive
def test_training_further_is_followed_by_runs_and_a_half_written_checkpoint_harms_nothing(
    watching: Callable[..., Forked], tmp_path: Path
) -> None:
    write_digits(tmp_path / "digits", 128)
    runs, root = tmp_path / "runs", tmp_path / "atlas"
    runs.mkdir()
    model = build()
    train(model, steps=20)
    torch.save(model.state_dict(), runs / "epoch=1.pt")
    success = f"cat >> {tmp_path}/told; echo >> {tmp_path}/told"
    drift = ["--fail-over", "drift=0", "--on-drift", f"cat > {tmp_path}/drifted"]
    watch = watching("--interval", "1", "--tries", "1", "--on-success", success, *drift)
    store = Store.open(str(root))

    def events() -> list[str]:
        return [event["event"] for event in Record(store).events]

    wait_until(lambda: "succeeded" in events(), watch)
    first = latest(store)
    # Further training writes its checkpoint slowly, and a job that was killed has left half of one.
    assert train(model, steps=60) > 0.8
    torch.save(model.state_dict(), tmp_path / "whole.pt")
    data = (tmp_path / "whole.pt").read_bytes()
    (runs / "killed.pt").write_bytes(data[: len(data) // 3])
    wait_until(lambda: events().count("failed") == 1, watch)
    assert latest(store) == first
    with (runs / "epoch=2.pt").open("wb") as file:
        for start in range(0, len(data), len(data) // 4):
            file.write(data[start : start + len(data) // 4])
            file.flush()
            os.fsync(file.fileno())
            time.sleep(0.4)
    wait_until(lambda: events().count("succeeded") == 2, watch)
    second = latest(store)
    assert first
    assert second
    assert (second.number, set(first.upstream)) == (first.number + 1, set(second.upstream))
    assert all(second.upstream[name] != hash_ for name, hash_ in first.upstream.items())
    told = [json.loads(line) for line in (tmp_path / "told").read_text().splitlines()]
    assert [(each["event"], each["snapshot"]) for each in told] == [("success", 1), ("success", 2)]
    last = [event for event in Record(store).events if event["event"] == "succeeded"][-1]
    assert last["checkpoint"]["path"].endswith("epoch=2.pt")
    drifted = tmp_path / "drifted"  # made by the shell of the hook before the hook has written it
    wait_until(lambda: drifted.is_file() and drifted.read_text().rstrip().endswith("}"), watch)
    assert json.loads(drifted.read_text())["diff"] == last["diff"]
    assert (last["diff"]["exit_code"], last["diff"]["drifted"], last["diff"]["error"]) == (4, True, None)
    assert (Path(last["diff"]["out"]) / "summary.md").is_file()
    watch.send_signal(signal.SIGTERM)
    assert watch.wait(30) == 75
    # Another watch, as cron would start it, finds nothing to do.
    once = watching("--once", "--interval", ".2")
    assert once.wait(60) == 0
    assert events().count("succeeded") == 2
