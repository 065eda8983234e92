from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from network_atlas.executors.environment import temporary_folder


def test_folders_of_killed_drivers_go_and_those_of_living_ones_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("network_atlas.executors.environment.tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr("network_atlas.executors.environment.LONGEST_TEMPORARY", 500)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for name in (f"atlas-{ended.pid:x}-dead", f"atlas-{os.getpid():x}-alive", "atlas-of-mine", "other"):
        (tmp_path / name).mkdir()
    with temporary_folder() as folder:
        assert Path(folder).is_dir()
        left = {path.name for path in tmp_path.iterdir()} - {Path(folder).name}
    assert left == {f"atlas-{os.getpid():x}-alive", "atlas-of-mine", "other"}
    assert not Path(folder).exists()
