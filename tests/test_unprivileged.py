"""No network, a read-only home, a user without a name: runs work without them.

As in a container on a locked-down cluster. Skipped where this process may not become another user (only root may).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import INLINE, RAY, TINY, write_images
from processes import PYTHON_PATH
from snapshots import differences, snapshot

USER = "54321"
"""Not in the list of users, so it has neither a name nor a home."""
READING = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
"""The user may read everything, since Python itself may lie in another user's home, but write nothing."""
AS_USER = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", *READING]
OFFLINE = ["unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "sh"]
"""A network namespace that holds nothing but this machine."""

pytestmark = pytest.mark.slow


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that everybody may read; those of pytest are for its user alone."""
    shared = Path(tempfile.mkdtemp(prefix="atlas-test-"))
    shared.chmod(0o755)
    yield shared
    shutil.rmtree(shared)


def locked_down(folder: Path, executor: list[str], prefix: list[str]) -> subprocess.CompletedProcess[str]:
    """Make an atlas as that user, who may write into two folders: the root's and the one for temporary files."""
    for name, mode in {"home": 0o555, "atlases": 0o755, "temporary": 0o700, "images": 0o755}.items():
        (folder / name).mkdir(mode=mode)
    write_images(folder / "images")
    for name in ("atlases", "temporary"):
        os.chown(folder / name, int(USER), int(USER))
    overrides = [*TINY, *executor, f'dataset.root="{folder}/images"', "dataset.label=name"]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "temporary"),
        "PYTHONPATH": PYTHON_PATH,
    }
    command = [*prefix, sys.executable, "-m", "network_atlas", "run", *overrides, f"store.root={folder}/atlases/tiny"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)


def works(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=30).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    "executor",
    [
        pytest.param(INLINE, id="inline"),
        pytest.param([*RAY, "executor.workers=1"], id="ray", marks=pytest.mark.ray),
    ],
)
def test_a_run_needs_no_network_no_home_and_no_name(folder: Path, atlas_root: Path, executor: list[str]) -> None:
    if not works([*AS_USER, "true"]):
        pytest.skip("this process may not become another user")
    prefix = [*(OFFLINE if works([*OFFLINE, "true"]) else []), *AS_USER]
    done = locked_down(folder, executor, prefix)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "Warning" not in done.stderr
    assert list((folder / "home").iterdir()) == []
    other = differences(snapshot(folder / "atlases/tiny"), snapshot(atlas_root))
    assert other in ([], ["statistics"])  # these name the folder of the dataset
