"""Where Python looks for modules: the working folder comes last.

`python -m` and Ray put the working folder first. A user's own `numpy.py` there would then stand in for the library of
that name. Models of one's own in the working folder (`model.name=nets:build`) can still be imported.

Only the standard library is imported here: this module is loaded before any other.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

PACKAGE = __name__.partition(".")[0]


def put_working_folder_last(driver_path: Iterable[str] = (), driver_folder: str = "") -> None:
    """Reorder `sys.path`: its own folders, then those of `driver_path`, then the working folders.

    Workers give the driver's path and working folder, which may differ from their own. A working folder that holds
    this package stays where it is: else a worker could import another, installed version than the driver.
    """
    entries = dict.fromkeys(os.path.abspath(entry) for entry in [*sys.path, *driver_path])
    working = {os.path.realpath(folder) for folder in (os.getcwd(), driver_folder) if folder}
    last = [entry for entry in entries if os.path.realpath(entry) in working and not _holds_package(entry)]
    sys.path[:] = [entry for entry in entries if entry not in last] + last


def _holds_package(folder: str) -> bool:
    return os.path.isfile(os.path.join(folder, PACKAGE, "__init__.py"))
