"""The Python in jobs/README.md compiles, and what needs no other package runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parents[2] / "jobs" / "README.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_every_snippet_compiles() -> None:
    assert len(SNIPPETS) == 3
    for snippet in SNIPPETS:
        compile(snippet, "jobs/README.md", "exec")


def test_the_function_runs_the_command_with_the_checkpoint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With a path as Lightning names them; the command says what it found wrong with the file, so that it was read."""
    names: dict[str, object] = {}
    exec(SNIPPETS[0], names)
    monkeypatch.chdir(tmp_path)
    Path("epoch=1-loss=0.3.ckpt").write_bytes(b"no checkpoint")
    errors: list[str] = []
    original = subprocess.run

    def heard(command: list[str], *, check: bool) -> None:
        done = original(command, stderr=subprocess.PIPE, text=True, check=False)
        errors.append(done.stderr)
        if check and done.returncode:
            raise subprocess.CalledProcessError(done.returncode, command)

    monkeypatch.setattr(subprocess, "run", heard)
    with pytest.raises(subprocess.CalledProcessError):
        names["make_atlas"]("epoch=1-loss=0.3.ckpt")  # type: ignore[operator]
    assert "epoch=1-loss=0.3.ckpt' can't be read" in errors[0], (sys.executable, errors)
