"""Which task goes to which host, and what becomes of it: decisions only, no Ray, no clock.

A task that raises is tried again, then halved down to what is to blame. A death blames the task that ran: three
strikes, then it runs alone, then it is halved or fails. A machine that was taken away blames nobody.

    dispatch = Dispatch(tasks)
    task = dispatch.take(host=0, hosts=2)         # what host 0 should do next, or None
    outcome = dispatch.settle(0, came_back)       # what to report, or None if the task is tried again
    outcomes = dispatch.lose(0, blame=True, ...)  # host 0 died with what it held

A host works through what it holds in order, so its first task is the one that was running when it died.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Sequence

from pipeline.executors.base import Failed, Outcome, Task

TRIES = 2
"""How often a task may raise before it is halved; its halves, having been tried with it, once more each."""
DEATHS = 3
"""How many processes may die while running a task before it runs alone; the next death halves it, too."""
IN_FLIGHT = 2
"""Tasks a host holds: the next one is there when the first ends, so no host waits for the driver."""


@dataclasses.dataclass(slots=True)
class Attempted:
    """A task, how often it raised, and how often the process that ran it died."""

    task: Task
    raised: int = 0
    deaths: int = 0

    @property
    def alone(self) -> bool:
        """Say whether no other task may be in flight beside it: it may be what kills its host."""
        return self.deaths >= DEATHS


class Dispatch:
    """The tasks of one run: queued, or held by a host."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._queue = deque(Attempted(task) for task in tasks)
        self._held: dict[int, deque[Attempted]] = {}

    @property
    def unfinished(self) -> int:
        """Return how many tasks still have no outcome."""
        return len(self._queue) + sum(len(held) for held in self._held.values())

    def holds(self, host: int) -> int:
        """Return how many tasks `host` holds."""
        return len(self._held.get(host, ()))

    def take(self, host: int, hosts: int) -> Task | None:
        """Return the next task for `host`, one of `hosts`, or None if it has enough.

        A second task is held ahead only while the queue has one for every host: towards the end a task
        must not wait behind a long one while another host is idle.
        """
        held = self._held.setdefault(host, deque())
        if not self._queue or len(held) >= IN_FLIGHT or (held and len(self._queue) < hosts):
            return None
        if held and (held[0].alone or self._queue[0].alone):
            return None
        held.append(self._queue.popleft())
        return held[-1].task

    def settle(self, host: int, outcome: Outcome) -> Outcome | None:
        """Take what came of the first task of `host`; return it, or None if the task is tried again."""
        tried = self._held[host].popleft()
        if isinstance(outcome, Failed) and not outcome.fatal:
            tried.raised += 1
            if tried.raised < TRIES:
                self._queue.appendleft(tried)
                return None
            if self._halve(tried):
                return None
        return dataclasses.replace(outcome, task=tried.task)

    def lose(self, host: int, *, blame: bool, reason: str) -> Failed | None:
        """Put back what the dead `host` held; return its first task as failed if it has killed too many.

        Only the first task was running, so only that one can be to blame; `blame` says that it is (and not,
        say, a machine that was taken away).
        """
        held = self._held.pop(host, deque())
        failed = None
        if held and blame:
            held[0].deaths += 1
            if held[0].deaths > DEATHS:
                killer = held.popleft()
                failed = None if self._halve(killer) else _killer(killer.task, reason)
        self._queue.extendleft(reversed(held))
        return failed

    def _halve(self, tried: Attempted) -> bool:
        """Put the halves of a task in its place, each with one more try; say whether it has any."""
        halves = tried.task.halves()
        raised, deaths = min(tried.raised, TRIES - 1), min(tried.deaths, DEATHS)
        self._queue.extendleft(Attempted(half, raised=raised, deaths=deaths) for half in reversed(halves))
        return bool(halves)


def _killer(task: Task, reason: str) -> Failed:
    error = f"the worker process died {DEATHS + 1} times on this task (out of memory, or a crash in native code?)"
    return Failed(task=task, error=error, details=reason)
