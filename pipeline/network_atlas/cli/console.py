"""The consoles on which commands print, and their tables and JSON."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import TextIO

from rich.console import Console
from rich.table import Table

UNLIMITED = 10_000
"""Columns of an output that is not a terminal."""


def output() -> Console:
    """Return the console for results. If it is not a terminal, lines are never cut or folded: programs read them."""
    console = Console(highlight=False, soft_wrap=True)
    return console if console.is_terminal else Console(highlight=False, soft_wrap=True, width=UNLIMITED)


def messages() -> Console:
    """Return the console for everything but results: stderr."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def table(*names: str, counts: Sequence[str] = (), words: Sequence[str] = ()) -> Table:
    """Return an empty table: columns of names, right-aligned counts, then words. A narrow terminal folds long cells."""
    plain = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        plain.add_column(name, overflow="fold")
    for name in counts:
        plain.add_column(name, justify="right", overflow="fold")
    for name in words:
        plain.add_column(name, overflow="fold")
    return plain


_RESULTS: ContextVar[TextIO | None] = ContextVar("results", default=None)


@contextlib.contextmanager
def results_alone() -> Iterator[None]:
    """Keep stdout for `print_result` and `print_json`: what a user's model prints goes to stderr."""
    token = _RESULTS.set(sys.stdout)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        _RESULTS.reset(token)


def print_result(text: str) -> None:
    """Print one result for other programs to stdout, past the console: rich would wrap it."""
    print(text, file=_RESULTS.get())


def print_json(value: object) -> None:
    """Print one JSON object to stdout."""
    print_result(json.dumps(value, indent=1))
