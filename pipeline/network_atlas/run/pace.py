"""The rate of a stage, computed from the times at which its tasks were committed. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

RECENT_SECONDS = 600.0
"""Commits that are this much older than the last one say little about the present rate."""
LONG_TASKS = 4
"""With long tasks, this many times their length counts as recent: workers start together, so tasks end in waves."""
PAUSE_SECONDS = 30.0
"""Longest pause within a stretch of work: a commit, the start of the next task, clocks that differ."""


@dataclass(frozen=True, slots=True)
class Commit:
    """A committed task: the time of the commit, its duration (both in seconds), and its number of items."""

    finished: float
    seconds: float
    items: int


def items_per_second(newest_first: Iterable[Commit]) -> float | None:
    """Return the rate of all workers together over the last stretch of work; None if nothing was made.

    A stretch ends at the last commit. It goes back ten minutes, or a few times the length of a task if that is longer,
    but not beyond a time at which no task was running: pauses between two runs do not count.
    """
    last, begun, earliest, items = 0.0, 0.0, 0.0, 0
    for commit in newest_first:
        if not items:
            last = begun = commit.finished
            earliest = last - max(RECENT_SECONDS, LONG_TASKS * commit.seconds)
        if commit.finished < max(earliest, begun - PAUSE_SECONDS):
            break
        if commit.items:
            begun = min(begun, commit.finished - commit.seconds)
            items += commit.items
    seconds = last - max(begun, earliest)
    return items / seconds if items and seconds > 0 else None
