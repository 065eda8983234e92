"""Threads that do independent pieces of work side by side, where a worker has more than one core."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

Work = Callable[[], None]


class Helpers:
    """As many threads as a worker has cores. Compiled loops and torch leave the GIL, so they run at the same time."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="scan") if count > 1 else None

    def do(self, works: Sequence[Work]) -> None:
        """Do all of `works`, which touch nothing in common, and return when they are done; raise what one raises."""
        if self._pool is None or len(works) < 2:
            for work in works:
                work()
            return
        for future in [self._pool.submit(work) for work in works]:
            future.result()


NO_HELPERS = Helpers(1)
"""Everything is done by the thread that asks."""
