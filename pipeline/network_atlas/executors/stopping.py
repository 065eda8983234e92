"""SIGINT and SIGTERM during a run on Ray: the first lets tasks end and begins no others, the second ends at once.

A cluster's scheduler sends SIGTERM before it takes a machine away: half a minute before (Kubernetes), or up to two
minutes (spot machines). That is long enough to commit the tasks that are running.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopping:
    """While entered, keeps the first signal from raising; `asked` and `overdue` say that it came.

    With a grace of 0 seconds, and outside the main thread, where Python allows no handlers, signals act as before.
    """

    def __init__(self, grace_seconds: float) -> None:
        self._grace = grace_seconds
        self._deadline: float | None = None
        self._before: dict[int, Any] = {}

    @property
    def asked(self) -> bool:
        """Say whether no further task is to be begun."""
        return self._deadline is not None

    @property
    def overdue(self) -> bool:
        """Say whether the tasks that are running are to be dropped."""
        return self._deadline is not None and time.monotonic() >= self._deadline

    def _ask(self, signum: int, frame: FrameType | None) -> None:
        if self._deadline is not None:
            raise KeyboardInterrupt
        self._deadline = time.monotonic() + self._grace
        log.warning("stopping: running tasks have %.0f s to end; send the signal again to stop at once", self._grace)

    def __enter__(self) -> Stopping:
        if self._grace and threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._ask) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        self._before = {}
