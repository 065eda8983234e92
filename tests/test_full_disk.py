"""A root whose disk is full, or turns read-only: one line says so, and after the fix the same command resumes.

On a real, small filesystem in memory; skipped where none can be mounted (only root can).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import INLINE, RAY, TINY
from processes import PYTHON_PATH
from snapshots import differences, partial_files, snapshot, staged

SIZE_KB = 4096

pytestmark = pytest.mark.slow


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


def command(root: Path, images: Path, executor: list[str]) -> list[str]:
    overrides = [*TINY, *executor, f'dataset.root="{images}"', "dataset.label=name", f'store.root="{root}"']
    return [sys.executable, "-m", "network_atlas", "run", *overrides, "sweep.block=2", "optimize.steps=10"]


def atlas_run(root: Path, images: Path, executor: list[str]) -> tuple[int, str]:
    environment = os.environ | {"PYTHONPATH": PYTHON_PATH}
    done = subprocess.run(command(root, images, executor), env=environment, capture_output=True, text=True, timeout=200)
    return done.returncode, done.stderr


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
    ("executor", "leaving_kb"), [(INLINE, 0), (INLINE, 300), pytest.param(RAY, 60, marks=pytest.mark.ray)]
)
def test_a_full_disk_is_named_and_the_same_command_resumes_when_there_is_space(
    disk: Path, images: Path, undisturbed: Path, executor: list[str], leaving_kb: int
) -> None:
    root = disk / "atlas"
    ballast = fill(disk, leaving_kb=leaving_kb)
    code, output = atlas_run(root, images, executor)
    assert code == 1, output
    line = the_line_about(root, output)
    assert "no space left on device" in line
    assert "free space" in line
    assert partial_files(root) == []
    assert staged(root) == []
    ballast.unlink()
    code, output = atlas_run(root, images, executor)
    assert code == 0, output
    assert differences(snapshot(root), snapshot(undisturbed)) == []


def test_a_root_that_turns_read_only_is_named_and_the_same_command_resumes_after(
    disk: Path, images: Path, undisturbed: Path
) -> None:
    root = disk / "atlas"
    environment = os.environ | {"PYTHONPATH": PYTHON_PATH}
    running = subprocess.Popen(
        command(root, images, INLINE), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    while len(list((root / "receipts/optimize").glob("*.json"))) < 2:
        assert running.poll() is None, running.communicate()[1]
        time.sleep(0.002)
    turn_read_only(disk)
    output = running.communicate(timeout=100)[1]
    assert running.returncode == 1, output
    line = the_line_about(root, output)
    assert "read-only file system" in line
    assert "mount it for writing again" in line
    assert partial_files(root) == []
    code, output = atlas_run(root, images, INLINE)
    assert code == 1, output
    assert "read-only file system" in the_line_about(root, output)
    assert mount("-o", "remount,rw", str(disk))
    code, output = atlas_run(root, images, INLINE)
    assert code == 0, output
    assert differences(snapshot(root), snapshot(undisturbed)) == []


def turn_read_only(disk: Path) -> None:
    """Remount the disk. That works only in a moment when no file is open for writing, so it is tried again."""
    end = time.monotonic() + 20
    while not mount("-o", "remount,ro", str(disk)):
        assert time.monotonic() < end, "the disk is always busy"


@pytest.fixture(scope="module")
def undisturbed(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The atlas of an undisturbed run."""
    root = tmp_path_factory.mktemp("undisturbed") / "atlas"
    code, output = atlas_run(root, images, INLINE)
    assert code == 0, output
    return root
