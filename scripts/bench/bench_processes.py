"""How much of the processor a process and all that it started use, from /proc. Used by `run`."""

from __future__ import annotations

import os
import threading
import time
from bisect import bisect_left
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

TICKS = os.sysconf("SC_CLK_TCK")


class StageUse(NamedTuple):
    """Seconds of a stage by the clock, and what its workers and all other processes used of the processor."""

    seconds: float
    workers: float
    others: float


class ProcessUse:
    """While open, looks five times a second at what the descendants of a process have used.

    `worker` is how the command line of a worker begins.
    """

    def __init__(self, ancestor: int, *, worker: str) -> None:
        self._ancestor = ancestor
        self._worker = worker
        self._seen: list[tuple[float, float, float]] = []
        self._used: dict[int, tuple[bool, float]] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()

    def between(self, start: float, end: float) -> StageUse:
        """Return what was used between two times, in seconds since the epoch."""
        times = [when for when, _, _ in self._seen]
        first = self._seen[bisect_left(times, start)]
        last = self._seen[min(bisect_left(times, end), len(times) - 1)]
        return StageUse(end - start, last[1] - first[1], last[2] - first[2])

    def _watch(self) -> None:
        while not self._ended.wait(0.2):
            now = time.time()
            parents = {int(path.name): _parent_and_seconds(path) for path in Path("/proc").glob("[0-9]*")}
            for process, (parent, seconds) in parents.items():
                if parent and process != self._ancestor and self._descends(process, parents):
                    self._used[process] = _begins(process, self._worker), seconds
            used = self._used.values()  # with what has ended since
            workers = sum(seconds for is_worker, seconds in used if is_worker)
            self._seen.append((now, workers, sum(seconds for _, seconds in used) - workers))

    def _descends(self, process: int, parents: dict[int, tuple[int, float]]) -> bool:
        while process > 1 and process != self._ancestor:
            process = parents.get(process, (0, 0.0))[0]
        return process == self._ancestor


def _parent_and_seconds(path: Path) -> tuple[int, float]:
    """Return a process's parent and seconds of the processor; zeros for one that has ended."""
    try:
        fields = (path / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0, 0.0
    return int(fields[1]), (int(fields[11]) + int(fields[12])) / TICKS


def _begins(process: int, words: str) -> bool:
    try:
        return Path("/proc", str(process), "cmdline").read_bytes().startswith(words.encode())
    except OSError:
        return False
