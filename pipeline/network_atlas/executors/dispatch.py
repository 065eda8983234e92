"""Which task goes to which host, and what becomes of it: decisions only, no Ray, no clock.

A task that raises is tried again, then halved down to what is to blame. A death blames the task that ran: three
strikes, then it runs alone, then it is halved or fails. A machine that was taken away blames nobody.

    dispatch = Dispatch(tasks)
    task = dispatch.take(host=0, hosts=2)         # what host 0 should do next, or None
    outcome = dispatch.settle(0, came_back)       # what to report, or None if the task is tried again
    outcomes = dispatch.lose(0, blame=True, ...)  # host 0 died with what it held

A host works through what it holds in order, so its first task is the one that was running when it died.

Tasks are taken in the order in which they are given (longest first, so that the last ones are short), but for those
that say what they keep warm: a host goes on with what it has warm, and else begins what no other host has. So each
layer's scan is read by one host, until hosts run out of layers and help each other.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Sequence

from network_atlas.executors.base import Outcome, Task, TaskFailed

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
    order: int
    """Place in the run; a task that is tried again, and halves of it, keep it."""
    raised: int = 0
    deaths: int = 0

    @property
    def alone(self) -> bool:
        """Say whether no other task may be in flight beside it: it may be what kills its host."""
        return self.deaths >= DEATHS


class Dispatch:
    """The tasks of one run: queued, or held by a host."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._queues: dict[str, deque[Attempted]] = {}
        """What waits, by what it keeps warm; no queue is empty."""
        self._held: dict[int, deque[Attempted]] = {}
        self._warm: dict[int, str] = {}
        for order, task in enumerate(tasks):
            self._queues.setdefault(task.cached_input, deque()).append(Attempted(task, order))
        self._waiting = len(tasks)

    @property
    def unfinished(self) -> int:
        """Return how many tasks still have no outcome."""
        return self._waiting + sum(len(held) for held in self._held.values())

    def holds(self, host: int) -> int:
        """Return how many tasks `host` holds."""
        return len(self._held.get(host, ()))

    def take(self, host: int, hosts: int) -> Task | None:
        """Return the next task for `host`, one of `hosts`, or None if it has enough.

        A second task is held ahead only while the queue has one for every host: towards the end a task
        must not wait behind a long one while another host is idle.
        """
        held = self._held.setdefault(host, deque())
        if not self._waiting or len(held) >= IN_FLIGHT or (held and self._waiting < hosts):
            return None
        queue = self._queues[self._choice(host)]
        if held and (held[0].alone or queue[0].alone):
            return None
        held.append(queue.popleft())
        self._waiting -= 1
        self._warm[host] = held[-1].task.cached_input
        if not queue:
            del self._queues[held[-1].task.cached_input]
        return held[-1].task

    def _choice(self, host: int) -> str:
        """Return the name of the queue for `host`: what it has warm, or what no other host has, or the first."""
        own = self._warm.get(host, "")
        if own and own in self._queues:
            return own
        taken = set(self._warm.values()) - {""}
        free = self._queues.keys() - taken
        return min(free or self._queues, key=lambda name: self._queues[name][0].order)

    def settle(self, host: int, outcome: Outcome) -> Outcome | None:
        """Take what came of the first task of `host`; return it, or None if the task is tried again."""
        tried = self._held[host].popleft()
        if isinstance(outcome, TaskFailed) and not outcome.fatal:
            tried.raised += 1
            if tried.raised < TRIES:
                self._put_back([tried])
                return None
            if self._halve(tried):
                return None
        return dataclasses.replace(outcome, task=tried.task)

    def lose(self, host: int, *, blame: bool, reason: str) -> TaskFailed | None:
        """Put back what the dead `host` held; return its first task as failed if it has killed too many.

        Only the first task was running, so only that one can be to blame; `blame` says that it is (and not,
        say, a machine that was taken away).
        """
        held = self._held.pop(host, deque())
        self._warm.pop(host, None)
        failed = None
        if held and blame:
            held[0].deaths += 1
            if held[0].deaths > DEATHS:
                killer = held.popleft()
                failed = None if self._halve(killer) else _killer(killer.task, reason)
        self._put_back(held)
        return failed

    def _halve(self, tried: Attempted) -> bool:
        """Put the halves of a task in its place, each with one more try; say whether it has any."""
        halves = tried.task.split()
        raised, deaths = min(tried.raised, TRIES - 1), min(tried.deaths, DEATHS)
        self._put_back([Attempted(half, tried.order, raised=raised, deaths=deaths) for half in halves])
        return bool(halves)

    def _put_back(self, attempted: Sequence[Attempted]) -> None:
        for one in reversed(attempted):
            self._queues.setdefault(one.task.cached_input, deque()).appendleft(one)
        self._waiting += len(attempted)


def _killer(task: Task, reason: str) -> TaskFailed:
    error = f"the worker process died {DEATHS + 1} times on this task (out of memory, or a crash in native code?)"
    return TaskFailed(task=task, error=error, details=reason)
