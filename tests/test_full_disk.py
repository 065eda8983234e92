"""A root whose disk is full, or turns read-only: one line says so, and after the fix the same command resumes.

On a real, small filesystem in memory; skipped where none can be mounted (only root can).
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import INLINE, RAY, TINY
from forked import Forked, Forking
from snapshots import Snapshot, differences, partial_files, snapshot, staged

SIZE_KB = 4096


def mount(*arguments: str) -> bool:
    """Say whether `mount` succeeds."""
    try:
        return subprocess.run(["mount", *arguments], capture_output=True, timeout=30).returncode == 0
    except FileNotFoundError:
        return False


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of a few megabytes, empty."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not mount("-t", "tmpfs", "-o", f"size={SIZE_KB}k", "tmpfs", str(folder)):
        pytest.skip("no filesystem can be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True, timeout=30)


class Runs:
    """Runs of one kind, each as a process of its own."""

    def __init__(self, forking: Forking, images: Path) -> None:
        self._forking = forking
        self._overrides = [*TINY, f'dataset.root="{images}"', "dataset.label=name", "sweep.block=2"]

    def start(self, root: Path, executor: list[str] = INLINE) -> Forked:
        overrides = [*self._overrides, *executor, f'store.root="{root}"', "optimize.steps=10"]
        return self._forking.atlas("run", *overrides)

    def run(self, root: Path, executor: list[str] = INLINE) -> tuple[int, str]:
        process = self.start(root, executor)
        return process.wait(), process.output


@pytest.fixture(scope="module")
def runs(forking: Forking, images: Path) -> Runs:
    return Runs(forking, images)


def fill(disk: Path, *, leaving_kb: int) -> Path:
    """Fill the disk except `leaving_kb`; return the file that does."""
    ballast = disk / "ballast"
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    ballast.write_bytes(bytes(max(0, free - leaving_kb * 1024)))
    return ballast


def the_line_about(root: Path, output: str) -> str:
    """Return the only line in which the command reports an error."""
    lines = [line for line in output.splitlines() if line.startswith("atlas: ")]
    assert len(lines) == 1, output
    assert "Traceback" not in output
    assert f"store.root={str(root)!r}" in lines[0]
    return lines[0]


@pytest.mark.parametrize(
    ("executor", "leaving_kb"),
    [
        pytest.param(INLINE, 0, id="inline-0"),
        pytest.param(INLINE, 300, id="inline-300"),
        pytest.param([*RAY, "executor.workers=1"], 60, marks=[pytest.mark.ray, pytest.mark.exhaustive], id="ray-60"),
    ],
)
def test_a_full_disk_is_named_and_the_run_goes_on_when_there_is_space(
    disk: Path, runs: Runs, undisturbed: Snapshot, executor: list[str], leaving_kb: int
) -> None:
    root = disk / "atlas"
    ballast = fill(disk, leaving_kb=leaving_kb)
    code, output = runs.run(root, executor)
    assert code == 1, output
    line = the_line_about(root, output)
    assert "no space left on device" in line
    assert "free space" in line
    assert partial_files(root) == []
    assert staged(root) == []
    ballast.unlink()
    code, output = runs.run(root)
    assert code == 0, output
    assert differences(snapshot(root), undisturbed) == []


def test_a_root_that_turns_read_only_is_named_and_the_same_command_resumes_after(
    disk: Path, runs: Runs, undisturbed: Snapshot
) -> None:
    root = disk / "atlas"
    running = runs.start(root)
    while len(list((root / "receipts/optimize").glob("*.json"))) < 2:
        assert running.poll() is None, running.output
        time.sleep(0.002)
    turn_read_only(disk)
    assert running.wait(timeout=100) == 1, running.output
    line = the_line_about(root, running.output)
    assert "read-only file system" in line
    assert "mount it for writing again" in line
    assert partial_files(root) == []
    code, output = runs.run(root)
    assert code == 1, output
    assert "read-only file system" in the_line_about(root, output)
    assert mount("-o", "remount,rw", str(disk))
    code, output = runs.run(root)
    assert code == 0, output
    assert differences(snapshot(root), undisturbed) == []


def turn_read_only(disk: Path) -> None:
    """Remount the disk. That works only in a moment when no file is open for writing, so it is tried again."""
    end = time.monotonic() + 20
    while not mount("-o", "remount,ro", str(disk)):
        assert time.monotonic() < end, "the disk is always busy"


@pytest.fixture(scope="module")
def undisturbed(runs: Runs, tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """The atlas of an undisturbed run."""
    root = tmp_path_factory.mktemp("undisturbed") / "atlas"
    code, output = runs.run(root)
    assert code == 0, output
    return snapshot(root)
