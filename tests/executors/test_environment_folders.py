from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from network_atlas.executors.environment import OWNER_LOCK, temporary_folder


def test_folders_of_killed_drivers_go_and_those_of_living_ones_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("network_atlas.executors.environment.tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr("network_atlas.executors.environment.LONGEST_TEMPORARY", 500)
    for name in ("atlas-dead", "atlas-alive", "atlas-young", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / OWNER_LOCK).touch()
        if name != "atlas-young":
            os.utime(tmp_path / name / OWNER_LOCK, (0, 0))
    (tmp_path / "atlas-of-mine").mkdir()
    program = (
        "import fcntl, sys; file = open(sys.argv[1]); fcntl.flock(file, fcntl.LOCK_EX); "
        "print('locked', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "atlas-alive" / OWNER_LOCK)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as alive:
        assert alive.stdout is not None
        assert alive.stdout.readline() == b"locked\n"
        with temporary_folder() as folder:
            assert Path(folder).is_dir()
            left = {path.name for path in tmp_path.iterdir()} - {Path(folder).name}
        alive.kill()
    assert left == {"atlas-alive", "atlas-young", "atlas-of-mine", "other"}
    assert not Path(folder).exists()
