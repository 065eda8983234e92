"""A watch runs once for each checkpoint that is complete, and survives restarts and bad files.

Runs are real ones of the tiny network, in this process; `test_end_to_end.py` has processes.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import INLINE, TINY
from forked import Forking
from processes import PYTHON_PATH
from tiny_network import build

from network_atlas.cli.exit_codes import DRIFTED
from network_atlas.cli.main import main
from network_atlas.rerun import watch as module
from network_atlas.rerun.children import Codes, Ended, atlas
from network_atlas.rerun.hooks import Hooks
from network_atlas.rerun.record import FILE, Record
from network_atlas.rerun.watch import Options, Watch, watch_once
from network_atlas.store.lease import Lease
from network_atlas.store.manifest import latest, read_manifest
from network_atlas.store.root import Store

CODES = Codes(done=0, incomplete=3, stopped=75, drifted=None)
Make = Callable[..., Watch]


def in_this_process(*arguments: str) -> Ended:
    messages = io.StringIO()
    with contextlib.redirect_stderr(messages), contextlib.redirect_stdout(io.StringIO()):
        code = main(arguments)
    return Ended(code=code, messages=tuple(messages.getvalue().splitlines()))


@pytest.fixture
def root(atlas_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "atlas", in_this_process)
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # main's own, which would stay
    return Path(shutil.copytree(atlas_root, tmp_path / "atlas"))


@pytest.fixture
def make(root: Path, images: Path, tmp_path: Path) -> Make:
    """Return a function that starts a watch over the checkpoints in `runs`."""
    overrides = [*TINY, *INLINE, f'dataset.root="{images}"', "dataset.label=name", f"store.root={root}"]

    def started(pattern: str = "*.pth", codes: Codes = CODES, **options: object) -> Watch:
        return Watch(
            pattern=f"{tmp_path}/runs/{pattern}",
            overrides=overrides,
            store=Store.open(str(root)),
            options=Options(copies=tmp_path / "copies", codes=codes, **options),
            say=lambda _: None,
        )

    (tmp_path / "runs").mkdir()
    return started


def save(path: Path, bias: float, *, seconds: int = 0) -> None:
    """Save the tiny network with another bias of its last convolution, that many seconds after 2001."""
    model = build()
    with torch.no_grad():
        model.conv3.bias += bias
    torch.save({"state_dict": model.state_dict()}, path)
    os.utime(path, (10**9 + seconds, 10**9 + seconds))


def events(root: Path) -> list[str]:
    return [event["event"] for event in Record(Store.open(str(root))).events]


def newest(root: Path) -> int:
    manifest = latest(Store.open(str(root)))
    assert manifest
    return manifest.number


def test_a_checkpoint_is_run_once_also_after_a_restart_and_under_another_name(
    make: Make, root: Path, tmp_path: Path
) -> None:
    told = tmp_path / "told.json"
    save(tmp_path / "runs/a.pth", 0.5)
    watch = make(hooks=Hooks(success=f"cat > {told}"))
    watch.look()
    assert (watch.waiting, events(root)) == (1, [])  # it may still be written
    watch.look()
    assert (watch.waiting, events(root), newest(root)) == (0, ["started", "succeeded"], 2)
    message = json.loads(told.read_text())
    assert (message["event"], message["snapshot_before"], message["snapshot"]) == ("success", 1, 2)
    assert message["checkpoint"]["path"] == str(tmp_path / "runs/a.pth")
    shutil.copy(tmp_path / "runs/a.pth", tmp_path / "runs/b.pth")
    again = make()
    for _ in range(3):
        again.look()
    assert events(root) == ["started", "succeeded", "unchanged"]
    assert newest(root) == 2


def test_an_earlier_content_that_is_put_back_is_taken_again(make: Make, root: Path, tmp_path: Path) -> None:
    path = tmp_path / "runs/last.pth"
    watch = make()
    for bias, seconds in ((0.5, 1), (0.6, 2), (0.5, 1), (0.5, 3)):  # put back with its time; then saved once more
        save(path, bias, seconds=seconds)
        watch.look()
        watch.look()
    assert events(root) == [*["started", "succeeded"] * 3, "unchanged"]
    assert newest(root) == 4
    store = Store.open(str(root))
    assert read_manifest(store, 4).upstream == read_manifest(store, 2).upstream


def test_a_watch_with_other_overrides_takes_the_last_checkpoint_again_and_no_other(
    make: Make, root: Path, tmp_path: Path
) -> None:
    for number in (1, 2):
        save(tmp_path / f"runs/{number}.pth", number / 10, seconds=number)
        watch_once(make(every=True), interval_seconds=0.01)
    for rate in (0.02, 0.02):
        watch = make(every=True)
        watch._overrides += [f"optimize.learning_rate={rate}", "store.allow_changes=true"]
        watch_once(watch, interval_seconds=0.01)
    errors = [event.get("error") for event in Record(Store.open(str(root))).events]
    assert events(root) == ["started", "succeeded"] * 3, errors
    last = Record(Store.open(str(root))).events[-1]
    assert Path(last["checkpoint"]["path"]).name == "2.pth"
    assert read_manifest(Store.open(str(root))).config["optimize.learning_rate"] == 0.02


def test_lines_that_two_watches_add_at_once_are_all_kept(tmp_path: Path) -> None:
    records = [Record(Store.open(str(tmp_path))) for _ in range(2)]

    def add(record: Record) -> None:
        for number in range(40):
            record.add("passed_over", number=number)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(add, records))
    kept = [event["number"] for event in Record(Store.open(str(tmp_path))).events]
    assert sorted(kept) == sorted([*range(40)] * 2)


def test_a_file_that_is_no_checkpoint_is_tried_a_few_times_and_the_last_snapshot_stays(
    make: Make, root: Path, tmp_path: Path
) -> None:
    path = tmp_path / "runs/a.pth"
    save(path, 0.5)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    failures = tmp_path / "failures"
    watch = make(tries=2, hooks=Hooks(failure=f"cat >> {failures}; echo >> {failures}"))
    for _ in range(6):
        watch.look()
    assert events(root) == ["started", "failed"] * 2
    told = [json.loads(line) for line in failures.read_text().splitlines()]
    assert [(each["tries"], each["final"]) for each in told] == [(1, False), (2, True)]
    assert "cut short" in told[0]["error"]
    assert (newest(root), watch.failed) == (1, 2)
    assert list((tmp_path / "copies").iterdir()) == []
    path.write_bytes(whole)
    watch.look()
    watch.look()
    assert events(root)[-2:] == ["started", "succeeded"]
    assert newest(root) == 2


def test_only_the_newest_is_taken_unless_every_one_is_wanted(make: Make, root: Path, tmp_path: Path) -> None:
    save(tmp_path / "runs/old.pth", 0.1, seconds=1)
    save(tmp_path / "runs/new.pth", 0.2, seconds=2)
    watch_once(make(), interval_seconds=0.01)
    record = Record(Store.open(str(root))).events
    assert [(event["event"], Path(event["checkpoint"]["path"]).name) for event in record] == [
        ("passed_over", "old.pth"),
        ("started", "new.pth"),
        ("succeeded", "new.pth"),
    ]
    save(tmp_path / "runs/3.pth", 0.3, seconds=3)
    save(tmp_path / "runs/4.pth", 0.4, seconds=4)
    watch_once(make(every=True), interval_seconds=0.01)
    assert newest(root) == 4
    assert len(list((tmp_path / "copies").iterdir())) == 2


def test_a_root_that_another_run_works_on_makes_the_watch_wait(make: Make, root: Path, tmp_path: Path) -> None:
    save(tmp_path / "runs/a.pth", 0.5)
    watch = make()
    with Lease(Store.open(str(root))):
        watch.look()
        watch.look()
        assert (events(root), watch.waiting) == ([], 1)
    watch.look()
    assert events(root) == ["started", "succeeded"]


def test_losing_a_race_for_the_root_is_no_failure_and_spares_the_other_watchs_copy(
    make: Make, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "runs/a.pth", 0.5)
    monkeypatch.setattr(Watch, "_holder", lambda _: "")  # the other one begins after this look
    watch = make(tries=1)
    with Lease(Store.open(str(root))):
        watch.look()
        watch.look()
    assert (events(root), watch.waiting, watch.failed) == (["started", "busy"], 1, 0)
    (copy,) = (tmp_path / "copies").iterdir()
    assert Record(Store.open(str(root))).copies_in_use == [str(copy)]
    watch.look()
    assert events(root)[2:] == ["started", "succeeded"]


def test_a_pattern_without_files_is_said_once(root: Path, make: Make) -> None:
    said: list[str] = []
    watch = make("*.nothing")
    watch._say = said.append
    watch.look()
    watch.look()
    assert len(said) == 1
    assert "no file matches" in said[0]
    assert "*.nothing" in said[0]


def test_a_drift_over_its_threshold_is_told_with_the_diff(make: Make, root: Path, tmp_path: Path) -> None:
    model = build()
    model.get_submodule("conv3").weight.mul_(-1.5)
    torch.save(model.state_dict(), tmp_path / "runs/a.pth")
    told = tmp_path / "told.json"
    codes = replace(CODES, drifted=DRIFTED)
    watch_once(make(codes=codes, fail_over=("drift=0",), hooks=Hooks(drift=f"cat > {told}")), interval_seconds=0.01)
    diff = Record(Store.open(str(root))).events[-1]["diff"]
    assert json.loads(told.read_text())["diff"] == diff
    assert (diff["exit_code"], diff["drifted"], diff["error"]) == (DRIFTED, True, None)
    assert (Path(diff["out"]) / "summary.md").is_file()


def test_a_hook_that_fails_is_recorded_and_the_watch_goes_on(make: Make, root: Path, tmp_path: Path) -> None:
    save(tmp_path / "runs/a.pth", 0.5)
    watch_once(make(hooks=Hooks(success="exit 9")), interval_seconds=0.01)
    assert events(root) == ["started", "succeeded", "hook_failed"]


def test_a_damaged_line_of_the_record_costs_that_line(root: Path) -> None:
    record = Record(Store.open(str(root)))
    record.add("started")
    (root / FILE).write_text((root / FILE).read_text() + '{"event": \n5\n')
    record.add("stopped")
    assert events(root) == ["started", "stopped"]


def test_a_child_says_why_it_failed() -> None:
    ended = atlas("status", "/nowhere")
    assert ended.code == 1
    assert ended.error.startswith("'/nowhere' holds no atlas")
    assert Ended(code=-9, messages=("x",)).error == "it was killed by signal 9 (SIGKILL)"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model.weights=x.pth"], "model.weights is what atlas watch sets"),
        (["optimize.step=3"], "unknown setting 'step'"),
        (["--interval", "0"], "seconds above 0"),
        (["--webhook", "ftp://x"], "no address"),
    ],
)
def test_mistakes_end_the_command_at_once(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", "runs/*.pth", *words]) == 1
    assert message in capsys.readouterr().err


def test_a_signal_stops_the_run_and_the_watch(forking: Forking, images: Path, tmp_path: Path) -> None:
    """In processes: the watch passes SIGTERM on, waits for the run, and says in its record that it was stopped."""
    (tmp_path / "runs").mkdir()
    save(tmp_path / "runs/a.pth", 0.5)
    root = tmp_path / "atlas"
    overrides = [*TINY, *INLINE, f'dataset.root="{images}"', f"store.root={root}", "optimize.steps=100000"]
    environment = {"PYTHONPATH": PYTHON_PATH}
    watch = forking.atlas("watch", f"{tmp_path}/runs/*.pth", "--interval", ".1", *overrides, environment=environment)
    end = time.monotonic() + 60
    while not list(root.glob("receipts/scan/*")):
        assert watch.poll() is None, watch.output
        assert time.monotonic() < end, watch.output
        time.sleep(0.05)
    watch.send_signal(signal.SIGTERM)
    assert watch.wait(60) == 75
    assert events(root) == ["started", "stopped"]
    assert not (root / "lease.json").exists()
