"""No network, a read-only home, a user without a name, a working folder full of traps: runs work all the same.

As in a container on a locked-down cluster. Where this process may not become another user (only root may), only the
working folder is tried.
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
from conftest import RAY, TESTS, TINY, write_images
from snapshots import differences, snapshot

USER = "54321"
"""Not in the list of users, so it has neither a name nor a home."""
READING = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
"""The user may read everything, since Python itself may lie in another user's home, but write nothing."""
AS_USER = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", *READING]
OFFLINE = ["unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "sh"]
"""A network namespace that holds nothing but this machine."""

PACKAGE_FOLDER = TESTS.parent / "pipeline"
TEMPORARY = "a-long-name-" * 8
"""Too long for the sockets of a Ray below it."""
LIKE_LIBRARIES = ("numpy", "torch", "pyarrow", "pydantic", "ray", "rich", "pipeline", "psutil", "numba")

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that everybody may read; those of pytest are for its user alone."""
    shared = Path(tempfile.mkdtemp(prefix="atlas-test-"))
    shared.chmod(0o755)
    yield shared
    shutil.rmtree(shared)


def locked_down(folder: Path, prefix: list[str]) -> subprocess.CompletedProcess[str]:
    """Make an atlas on Ray, with the network of a file of the working folder, which holds traps beside it.

    With a prefix as that user, who may write into two folders only: the root's and the one for temporary files.
    """
    for name, mode in {"home": 0o555, "atlases": 0o755, TEMPORARY: 0o700, "images": 0o755, "working": 0o755}.items():
        (folder / name).mkdir(mode=mode)
    write_images(folder / "images")
    for name in LIKE_LIBRARIES:
        text = f"raise RuntimeError('this is the {name} of the working folder')\n"
        (folder / f"working/{name}.py").write_text(text)
    shutil.copy(TESTS / "tiny_network.py", folder / "working")
    if prefix:
        for name in ("atlases", TEMPORARY):
            os.chown(folder / name, int(USER), int(USER))
    overrides = [*TINY, *RAY, "executor.workers=1"]
    overrides += [f'dataset.root="{folder}/images"', "dataset.label=name", f"store.root={folder}/atlases/tiny"]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / TEMPORARY),
        "PYTHONPATH": str(PACKAGE_FOLDER),
        "RAY_worker_niceness": "0",  # as in conftest.py
    }
    command = [*prefix, sys.executable, "-m", "network_atlas", "run", *overrides]
    return subprocess.run(command, cwd=folder / "working", env=environment, capture_output=True, text=True, timeout=200)


def works(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=30).returncode == 0
    except FileNotFoundError:
        return False


def test_a_run_needs_no_network_no_home_and_no_name_is_silent_and_takes_no_library_from_the_working_folder(
    folder: Path, atlas_root: Path
) -> None:
    """On Ray, whose workers have the driver's working folder first on their path. One run for all: it takes long."""
    user = AS_USER if works([*AS_USER, "true"]) else []
    prefix = [*(OFFLINE if user and works([*OFFLINE, "true"]) else []), *user]
    done = locked_down(folder, prefix)
    assert done.returncode == 0, done.stdout + done.stderr
    ours = ("tiny_network:build", "scan ", "optimize ", "calibrate ", "assemble ", "site ")
    others = [line for line in done.stderr.splitlines() if not line.startswith(ours)]
    assert all("Failed to determine local IP" in line for line in others), done.stderr  # Ray's own, without a network
    if user:
        assert list((folder / "home").iterdir()) == []
    other = differences(snapshot(folder / "atlases/tiny"), snapshot(atlas_root))
    assert other in ([], ["statistics"])  # these name the folder of the dataset
