"""Which task goes to which host, and whether it is tried again: decisions only, no Ray, no clock.

A task that raises is tried again, then halved until only the part that fails is left. The death of a process is blamed
on the task that ran. After three deaths the task runs alone; after the next it is halved, or fails if it can't be.
Nothing is blamed for a machine that was taken away.

    dispatch = Dispatch(tasks)
    task = dispatch.take(host=0, hosts=2)        # the next task for host 0, or None
    outcome = dispatch.settle(0, result)         # the outcome to report, or None if the task is tried again
    failed = dispatch.lose(0, blame=True, ...)   # host 0 died; return its task if that counts as failed now

A host works through what it holds in order, so its first task is the one that was running when it died.

Tasks are taken in the order in which they are given (longest first, so that the last ones are short), except tasks
with a `cached_input`: a host goes on with the input that it has in its cache, or else begins one that no other host
has. So each layer's scan is read by one host, until there are no more layers to begin and hosts share one.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Sequence

from network_atlas.executors.base import Outcome, Task, TaskFailed

TRIES = 2
"""How often a task may raise before it is halved. Its halves were tried with it, so each gets one more try."""
DEATHS = 3
"""How many processes may die while they run a task before it runs alone. One more death halves it.

Three, since a process may also die by another's fault: the system's out-of-memory killer takes the largest."""
IN_FLIGHT = 2
"""Tasks that a host holds: the second begins when the first ends, without a wait for the driver."""


@dataclasses.dataclass(slots=True)
class Attempted:
    """A task, how often it raised, and how often the process that ran it died."""

    task: Task
    order: int
    """Rank in the run; a task that is tried again keeps it, and so do its halves."""
    raised: int = 0
    deaths: int = 0

    @property
    def alone(self) -> bool:
        """Say whether its host may hold no other task: this one may be what kills hosts."""
        return self.deaths >= DEATHS


class Dispatch:
    """The tasks of one run: queued, or held by a host."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._queues: dict[str, deque[Attempted]] = {}
        """Tasks that wait, by `cached_input`; no queue is empty."""
        self._held: dict[int, deque[Attempted]] = {}
        self._cached: dict[int, str] = {}
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
        # In both directions: a suspect takes no companion, and nobody's companion is a suspect.
        if held and (held[0].alone or queue[0].alone):
            return None
        held.append(queue.popleft())
        self._waiting -= 1
        self._cached[host] = held[-1].task.cached_input
        if not queue:
            del self._queues[held[-1].task.cached_input]
        return held[-1].task

    def _choice(self, host: int) -> str:
        """Return the input to go on with: the host's cached one, or one that no other host has, or the first."""
        cached = self._cached.get(host, "")
        if cached and cached in self._queues:
            return cached
        taken = set(self._cached.values()) - {""}
        free = self._queues.keys() - taken
        # By rank, not by name: the order of the run (longest first) holds between inputs too.
        return min(free or self._queues, key=lambda name: self._queues[name][0].order)

    def settle(self, host: int, outcome: Outcome) -> Outcome | None:
        """Record the outcome of the first task of `host`; return it, or None if the task is tried again."""
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
        """Put back the tasks of the dead `host`; return its first task as failed if that has killed too many.

        Only the first task was running, so only that one can be to blame; `blame` says that it is (and not,
        say, a machine that was taken away).
        """
        held = self._held.pop(host, deque())
        # The new process in this seat has an empty cache.
        self._cached.pop(host, None)
        failed = None
        if held and blame:
            held[0].deaths += 1
            if held[0].deaths > DEATHS:
                killer = held.popleft()
                failed = None if self._halve(killer) else _killer(killer.task, reason)
        self._put_back(held)
        return failed

    def _halve(self, tried: Attempted) -> bool:
        """Queue the halves of a task instead of it, each with one more try; say whether it has any."""
        halves = tried.task.split()
        # A half begins with what the whole has used up: one more try, and if the whole killed, still alone.
        raised, deaths = min(tried.raised, TRIES - 1), min(tried.deaths, DEATHS)
        self._put_back([Attempted(half, tried.order, raised=raised, deaths=deaths) for half in halves])
        return bool(halves)

    def _put_back(self, attempted: Sequence[Attempted]) -> None:
        # At the front, so that a task that failed does not wait for the end of the run; reversed, to keep the order.
        for tried in reversed(attempted):
            self._queues.setdefault(tried.task.cached_input, deque()).appendleft(tried)
        self._waiting += len(attempted)


def _killer(task: Task, reason: str) -> TaskFailed:
    error = f"the worker process died {DEATHS + 1} times on this task (out of memory, or a crash in native code?)"
    return TaskFailed(task=task, error=error, details=reason)
