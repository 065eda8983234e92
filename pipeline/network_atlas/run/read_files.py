"""Which files this process reads while a run is prepared, each with its stamp from before it was read.

    files = watch_reading()              # stamps what was imported before, and all that is opened from now on
    ...
    stop_watching()

Python reports every file that is opened through it, and every extension module that it loads (PEP 578). Libraries that
open files by themselves are not seen (`UNSEEN`).
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import stat
import sys
from collections.abc import Iterable, Mapping
from typing import TypeAlias

Stamp: TypeAlias = list[int]
"""Size, times of the last change of content and of anything (ns), and number of the file on its disk."""
UNSEEN = ("cv2", "h5py", "jax", "safetensors", "tensorflow", "zarr")
"""Packages that open files by themselves, from which a network's own code may take its weights."""
NAMED = {"import": 1, "sqlite3.connect": 0}
"""Further events that name a file, with the argument's number."""
IGNORED = ("/proc/", "/sys/", "/dev/")
CODE = (".py", ".so", ".pyd", ".pth")

_watched: list[dict[str, Stamp]] = []
_hooked: list[bool] = []


def watch_reading() -> dict[str, Stamp]:
    """Return a mapping of paths to stamps that grows as files are read, until `stop_watching`."""
    stamps: dict[str, Stamp] = {}
    for module in list(sys.modules.values()):
        if isinstance(path := getattr(module, "__file__", None), str):
            _add(stamps, path)
    _watched[:] = [stamps]
    if not _hooked:  # once, since Python never removes a hook
        sys.addaudithook(_heard)
        _hooked.append(True)
    return stamps


def stop_watching() -> None:
    """Leave the mapping as it is."""
    _watched.clear()


def stamp(path: str) -> Stamp | None:
    """Return the stamp of a file, that of its target if it is a link; None if there is no such file."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def are_unchanged(files: Mapping[str, Stamp]) -> bool:
    """Say whether every file still has its stamp."""
    return all(stamp(path) == known for path, known in files.items())


def importable(folders: Iterable[str], *, but: str) -> list[tuple[str, list[str]]]:
    """Return the names in each folder that an `import` could find there, but for those on the way to the path `but`."""
    return [(folder, _importable(os.path.abspath(folder), os.path.join(but, ""))) for folder in folders]


def _importable(folder: str, but: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(
                entry.name
                for entry in entries
                if entry.name.endswith(CODE)
                or (
                    not entry.name.startswith((".", "_"))
                    and entry.is_dir()
                    and not but.startswith(os.path.join(entry.path, ""))
                )
            )
    except OSError:  # not there, or a zip file, whose modules are stamped as it is
        return []


def files_below(folder: str, *, without: Iterable[str]) -> list[tuple[str, Stamp]]:
    """Return (path, stamp) of every file below `folder`, but for its entries called `without`."""
    if not os.path.isdir(folder):
        return []
    with os.scandir(folder) as entries:
        waiting = [entry for entry in entries if entry.name not in set(without)]
    files = []
    while waiting:
        entry = waiting.pop()
        if entry.is_dir(follow_symlinks=False):
            with os.scandir(entry.path) as entries:
                waiting.extend(entries)
        elif (known := stamp(entry.path)) is not None:
            files.append((os.path.relpath(entry.path, folder), known))
    return sorted(files)


def _heard(event: str, arguments: tuple[object, ...]) -> None:
    """Stamp the file of an event of Python's. It must not raise: that would fail the caller's `open`."""
    if not _watched:
        return
    if event == "open":
        path, mode, flags = arguments
        writes = isinstance(mode, str) and set("wax+") & set(mode)
        if not writes and isinstance(path, str | bytes) and (not isinstance(flags, int) or not flags & os.O_ACCMODE):
            _add(_watched[0], os.fsdecode(path))
    elif event in NAMED and isinstance(path := arguments[NAMED[event]], str):
        _add(_watched[0], path)


def _add(stamps: dict[str, Stamp], path: str) -> None:
    path = os.path.abspath(path)
    if path.endswith(".pyc") and os.path.basename(os.path.dirname(path)) == "__pycache__":
        with contextlib.suppress(ValueError):  # another tool's own cache, with other names
            path = importlib.util.source_from_cache(path)  # the source is what is edited
    if path not in stamps and not path.startswith(IGNORED) and (known := stamp(path)) is not None:
        stamps[path] = known
