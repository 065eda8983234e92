"""How fast a stage goes, told by when its tasks were committed. Pure."""

from __future__ import annotations

from collections.abc import Sequence
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


def items_per_second(commits: Sequence[Commit]) -> float | None:
    """Return the rate of all workers together over the last stretch of work, None where nothing says when it was.

    A stretch goes back from the last commit, ten minutes or a few tasks' length, to where no task was at work: the time
    between two runs does not count.
    """
    timed = sorted((one for one in commits if one.finished), key=lambda one: one.finished, reverse=True)
    if not timed:
        return None
    last, begun, items = timed[0].finished, timed[0].finished, 0
    earliest = last - max(RECENT_SECONDS, LONG_TASKS * timed[0].seconds)
    for one in timed:
        if one.finished < max(earliest, begun - PAUSE_SECONDS):
            break
        begun = min(begun, one.finished - one.seconds)
        items += one.items
    seconds = last - max(begun, earliest)
    return items / seconds if seconds > 0 else None
