"""Which libraries a program loads: those that only read an atlas, or only print, load none of the large ones."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Sequence


def loaded_by(program: str, libraries: Sequence[str]) -> list[str]:
    """Return those of some libraries that a program has loaded at its end, in a process of its own.

    The program may print; it must end without an error.
    """
    report = f"import sys\nprint([name for name in {tuple(libraries)!r} if name in sys.modules])"
    command = [sys.executable, "-c", f"{program}\n{report}"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    names: list[str] = ast.literal_eval(output.splitlines()[-1])
    return names
