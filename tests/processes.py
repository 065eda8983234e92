"""List this machine's processes, from /proc, and set up those that a test starts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

PYTHON_PATH = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))
"""PYTHONPATH of processes that a test starts: the tests' folder, then this process's own (the package's folder)."""


def without_fsync() -> None:
    """Have this process wait for no disk, as no test cuts the power: a small run would wait a hundred times."""
    os.fsync = lambda _: None  # type: ignore[assignment]


def processes() -> Iterator[int]:
    """Yield the ids of all processes."""
    return (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())


def text(pid: int, name: str) -> str:
    """Return a file of a process, such as 'cmdline' or 'environ'; '' if it has ended in between."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def ray_hosts(mark: str) -> list[int]:
    """Return the processes that hold a worker of a run whose environment has `mark`."""
    return [pid for pid in processes() if text(pid, "cmdline").startswith("ray::Host") and mark in text(pid, "environ")]
