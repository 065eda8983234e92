"""How fast a stage goes, from the times at which its tasks were committed. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

RECENT_SECONDS = 600.0
"""What was committed longer than this before the last commit says little about now."""
LONG_TASKS = 4
"""Where tasks are long, this many times their length is recent: they end in waves."""
PAUSE_SECONDS = 30.0
"""Between two tasks of one worker there may be so much: committing, the next start, clocks that differ."""


@dataclass(frozen=True, slots=True)
class Commit:
    """A task: when it was committed, how long it took (seconds), and the items that it made."""

    finished: float
    seconds: float
    items: int


def items_per_second(newest_first: Iterable[Commit]) -> float | None:
    """Return the rate of all workers together over the last stretch of work, None where nothing was made.

    A stretch goes back from the last commit, ten minutes or a few tasks' length, to where no task was running: the time
    between two runs does not count. Older commits are not looked at.
    """
    last, begun, earliest, items = 0.0, 0.0, 0.0, 0
    for one in newest_first:
        if not items:
            last = begun = one.finished
            earliest = last - max(RECENT_SECONDS, LONG_TASKS * one.seconds)
        if one.finished < max(earliest, begun - PAUSE_SECONDS):
            break
        if one.items:
            begun = min(begun, one.finished - one.seconds)
            items += one.items
    seconds = last - max(begun, earliest)
    return items / seconds if items and seconds > 0 else None
