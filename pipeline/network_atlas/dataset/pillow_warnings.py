"""Say once, in the log and by the file's name, what Pillow warns of while it decodes.

    with named("photos/7.jpg"):
        decode(...)            # photos/7.jpg: Corrupt EXIF data.  Expecting to read 2 bytes but only got 0.

By itself Pillow's text stands among the lines of the progress and names no file, and Python shows it for the first
file alone. Files are read by several threads at once, so each thread has its own name; `warnings.catch_warnings` would
change the filters of all threads.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

log = logging.getLogger(__name__)

REMEMBERED = 10_000
"""Warnings that are not said again: enough where such files are rare, and a few MB in the worst case."""

# Python's default shows each text once, whichever file it is about.
warnings.filterwarnings("always", category=UserWarning, module=r"PIL\.")

_current = threading.local()
_lock = threading.Lock()
_others: list[Callable[..., Any]] = []
"""The function that showed warnings before; it still shows those that are not about a file."""


@contextmanager
def named(file: str) -> Iterator[None]:
    """Have the warnings of this thread logged under a file's name for the time of a block."""
    _take_over()
    before = getattr(_current, "file", "")
    _current.file = file
    try:
        yield
    finally:
        _current.file = before


def _take_over() -> None:
    """Put `_show` in the place of the function that shows warnings, where it is not there already."""
    with _lock:  # two threads at once would make `_show` its own predecessor
        if warnings.showwarning is not _show:
            _others[:] = [warnings.showwarning]
            warnings.showwarning = _show


def _show(message: Warning | str, *args: Any, **options: Any) -> None:
    file = getattr(_current, "file", "")
    if file:
        _say_once(file, " ".join(str(message).split()))
    else:
        _others[0](message, *args, **options)


@lru_cache(maxsize=REMEMBERED)
def _say_once(file: str, text: str) -> None:
    log.warning("%s: %s", file, text)
