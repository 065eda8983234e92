"""How commands print: consoles, tables, and amounts in words."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

UNLIMITED = 10_000
"""Columns of an output that is no terminal."""


def output() -> Console:
    """Return where results go. Off a terminal nothing is cut or folded: other programs read it."""
    console = Console(highlight=False, soft_wrap=True)
    return console if console.is_terminal else Console(highlight=False, soft_wrap=True, width=UNLIMITED)


def messages() -> Console:
    """Return where everything goes that is no result: stderr."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def table(*names: str, counts: Sequence[str] = ()) -> Table:
    """Return a plain table; on a narrow terminal names are folded, never cut."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        made.add_column(name, overflow="fold")
    for name in counts:
        made.add_column(name, justify="right", overflow="fold")
    return made


def duration(seconds: float) -> str:
    """Return '42 s', '3 min 10 s' or '5 h 12 min'."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min"


def size(count: float) -> str:
    """Return '12 MB' for a number of bytes."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if count >= 10 or unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def rate(per_second: float) -> str:
    """Return '2.1/s', '15.0/min' or '1.8/h'."""
    for unit, seconds in (("s", 1), ("min", 60)):
        if per_second * seconds >= 1:
            return f"{per_second * seconds:,.1f}/{unit}"
    return f"{per_second * 3600:,.1f}/h"
