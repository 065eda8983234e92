"""Put the working folder last among the folders where Python looks for modules.

`python -m` and Ray put it first. A user's own `numpy.py` there would then replace the library of that name. The user's
models in the working folder (`model.name=nets:build`) can still be imported.

Only the standard library is imported here: this module is loaded before any other.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

PACKAGE = __name__.partition(".")[0]


def put_working_folder_last(driver_path: Iterable[str] = (), driver_folder: str = "") -> None:
    """Reorder `sys.path`: its own folders, then those of `driver_path`, then the working folders.

    Workers pass the driver's path and working folder, which may differ from their own. A working folder that holds
    this package stays where it is: otherwise a worker could import an installed version that differs from the driver's.
    """
    entries = dict.fromkeys(os.path.abspath(entry) for entry in [*sys.path, *driver_path])
    working = {os.path.realpath(folder) for folder in (os.getcwd(), driver_folder) if folder}
    last = [entry for entry in entries if os.path.realpath(entry) in working and not _holds_package(entry)]
    sys.path[:] = [entry for entry in entries if entry not in last] + last


def _holds_package(folder: str) -> bool:
    return os.path.isfile(os.path.join(folder, PACKAGE, "__init__.py"))
