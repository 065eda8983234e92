"""Threads that do independent pieces of work side by side, where a worker has more than one core."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

_T = TypeVar("_T")


class Helpers:
    """As many threads as a worker has cores. Compiled loops and torch leave the GIL, so they run at the same time."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="scan") if count > 1 else None

    def do(self, works: Sequence[Callable[[], _T]]) -> list[_T]:
        """Do all of `works`, which touch nothing in common; return what they return, or raise what one raises."""
        if self._pool is None or len(works) < 2:
            return [work() for work in works]
        futures = [self._pool.submit(work) for work in works]
        wait(futures)  # for all, also where one raises: none may go on when the task is tried again
        return [future.result() for future in futures]


NO_HELPERS = Helpers(1)
"""Everything is done by the thread that asks."""
