"""The crontab, the systemd units and the container's recipe are sound."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from network_atlas.cli.exit_codes import STOPPED

JOBS = Path(__file__).parents[2] / "jobs"


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(JOBS / "systemd" / name)
    return parser


def test_systemd_starts_again_after_a_stop_only() -> None:
    service = unit("atlas.service")["Service"]
    assert service["RestartForceExitStatus"] == service["SuccessExitStatus"] == str(STOPPED)
    assert "Restart" not in service
    assert service["Type"] == "exec"  # a oneshot unit is not restarted after a code that counts as success
    assert service["KillMode"] == "mixed"
    assert service["User"] != "root"


def test_the_watch_stays_and_a_stop_is_no_failure() -> None:
    service = unit("atlas-watch.service")["Service"]
    assert service["SuccessExitStatus"] == str(STOPPED)
    assert (service["Restart"], service["KillMode"], service["Type"]) == ("on-failure", "mixed", "exec")


def test_the_timer_is_that_of_the_service() -> None:
    assert "Unit" not in unit("atlas.timer")["Timer"]
    assert unit("atlas.timer")["Timer"]["Persistent"] == "yes"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    for file in (JOBS / "systemd").iterdir():
        installed = file.read_text().replace("/opt/atlas/bin/atlas", sys.executable)
        (tmp_path / file.name).write_text(installed)
    checked = subprocess.run(
        ["systemd-analyze", "verify", *sorted(tmp_path.iterdir())], capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.skipif(not shutil.which("flock"), reason="needs flock")
def test_cron_starts_one_run_at_a_time(tmp_path: Path) -> None:
    """The line of the crontab, as cron would run it, with a run that takes a while."""
    line = (JOBS / "crontab").read_text().splitlines()[-1]
    fields = re.match(r"(?:\S+ ){5}(.*)", line)
    assert fields
    assert "%" not in line  # cron would end the line there
    atlas = tmp_path / "atlas" / ".venv" / "bin" / "atlas"
    atlas.parent.mkdir(parents=True)
    atlas.write_text('#!/bin/sh\necho "$@"\nread rest\n')
    atlas.chmod(0o755)
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    first = subprocess.Popen(["/bin/sh", "-c", fields[1]], env=environment, stdin=subprocess.PIPE)
    log = tmp_path / "atlas.log"
    while not (log.exists() and log.read_text()):
        assert first.poll() is None
    assert subprocess.run(["/bin/sh", "-c", fields[1]], env=environment, check=False, timeout=5).returncode == 0
    first.communicate(b"\n")
    assert log.read_text().splitlines() == [f"run sweep=all store.root={tmp_path}/atlases/efficientnet_lite0"]


def test_the_container_runs_atlas_as_an_ordinary_user() -> None:
    lines = (JOBS / "Containerfile").read_text().splitlines()
    assert 'ENTRYPOINT ["atlas"]' in lines
    assert "USER 1000" in lines  # a number, so that Kubernetes can tell that it is not root
    copied = [word for line in lines if line.startswith("COPY") and "--from" not in line for word in line.split()[1:-1]]
    assert [name for name in copied if not (JOBS.parent / name).exists()] == []
