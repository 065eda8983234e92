"""Without the extra `run`, commands that make something name it in one line. Those that read: `test_snapshots.py`."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from network_atlas.cli.arguments import OF_A_CONFIGURATION
from network_atlas.cli.extras import EXTRA, LIBRARIES
from network_atlas.cli.main import main

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
IMPORTED = {"scikit-learn": "sklearn", "umap-learn": "umap"}


def names_of(lines: list[str]) -> set[str]:
    return {re.split(r"[^A-Za-z0-9-]", line)[0] for line in lines}


def test_the_libraries_that_are_named_are_those_of_the_extra() -> None:
    assert {IMPORTED.get(name, name) for name in names_of(EXTRAS[EXTRA])} == set(LIBRARIES)
    assert not names_of(EXTRAS[EXTRA]) & names_of(PROJECT["dependencies"])


def test_extras_that_make_something_include_run_and_that_of_analysts_does_not() -> None:
    own = {extra for extra, lines in EXTRAS.items() if not any("[" in line and EXTRA in line for line in lines)}
    assert own == {EXTRA, "analysis"}


@pytest.mark.parametrize("command", OF_A_CONFIGURATION)
def test_a_command_that_loads_a_network_names_the_extra(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    needed = {"watch": ["*.pth"], "prior": ["train"]}
    assert main([command, *needed.get(command, [])]) == 1
    assert re.fullmatch(
        rf"atlas: atlas {command} needs torch, .*pip install 'network-atlas\[run\]'.*\n", capsys.readouterr().err
    )


COMPARING = """
import sys
from network_atlas.cli.extras import LIBRARIES
for name in LIBRARIES: sys.modules[name] = None
from network_atlas.cli.main import main
sys.exit(main(["diff", sys.argv[1]]))
"""


def test_a_library_that_fails_to_load_later_is_named_without_a_traceback(retrained_root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", COMPARING, str(retrained_root)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert re.match("atlas: atlas diff needs (numba|scipy), which is not installed", done.stderr)
    assert len(done.stderr.splitlines()) == 1


def test_other_missing_modules_are_no_matter_of_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "network_atlas.cli.commands.view", None)
    with pytest.raises(ModuleNotFoundError):
        main(["view", "nowhere"])
