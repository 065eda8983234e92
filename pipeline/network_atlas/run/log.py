"""The log of a run, as JSON lines in its root: `logs/<run id>.jsonl`.

    with RunLog(store) as log:
        log.note("run_started", version="1.0")     # kept in memory until an event happens
        log.event("stage_started", stage="scan", tasks=8)

Each line is an object with `time` (ISO 8601, UTC) and `event`. The last line, `run_ended`, says how the run ended.
Object stores can't append, so the whole file is written each time: at the end, and before that every few seconds at
most. A run that is killed loses the last seconds of its log. A run that has nothing to do writes no log. Lines are
about runs, stages and failed tasks, never about single pictures, so the file stays small.
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
import platform
import secrets
import threading
from datetime import UTC, datetime
from types import TracebackType

from network_atlas.errors import AtlasError, StoreError
from network_atlas.store.root import Store

WRITE_SECONDS = 5.0
RETRY_SECONDS = 10.0
"""Short: the next write has the same lines, and a run whose root is gone should report that soon."""
PACKAGES = ("numpy", "pillow", "pyarrow", "ray", "torch", "torchvision")

log = logging.getLogger(__name__)


def new_run_id() -> str:
    """Return a new name for a run. Names sort by the start of their runs."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on, without loading them."""
    installed = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed


class RunLog:
    """Collects the events of one run and writes them; leaving the context writes how it ended."""

    def __init__(self, store: Store, run: str = "", *, every_seconds: float = WRITE_SECONDS) -> None:
        self.run = run or new_run_id()
        self._store = store.within(RETRY_SECONDS)
        self._every = every_seconds
        self._lines: list[str] = []
        self._worth = False
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._timer: threading.Timer | None = None
        self._warnings = _Warnings(self)

    @property
    def path(self) -> str:
        """Return the path of the file below the root."""
        return f"logs/{self.run}.jsonl"

    def note(self, event: str, **fields: object) -> None:
        """Add a line; the next event or the end of the run writes it."""
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **fields}
        with self._lock:
            self._lines.append(json.dumps(line))

    def event(self, event: str, **fields: object) -> None:
        """Add a line, which is written within seconds."""
        self.note(event, **fields)
        with self._lock:
            self._worth = True
            if self._timer is None:
                self._timer = threading.Timer(self._every, self._write_now)
                self._timer.daemon = True
                self._timer.start()

    def _write_now(self) -> None:
        with self._writing:  # one writer at a time: an older state must not overwrite a newer one
            with self._lock:
                self._timer = None
                data = "".join(f"{line}\n" for line in self._lines).encode()
            try:
                self._store.write(self.path, data)
            except StoreError as error:  # not fatal here: a root that is full or gone ends the run at its next result
                log.error("the run's log could not be written: %s", error)

    def __enter__(self) -> RunLog:
        logging.getLogger("network_atlas").addHandler(self._warnings)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        logging.getLogger("network_atlas").removeHandler(self._warnings)
        stopped = isinstance(error, KeyboardInterrupt | SystemExit)
        outcome = "stopped" if stopped else "done" if error is None else "failed"
        why = (
            {} if stopped or error is None else {"error": str(error) if isinstance(error, AtlasError) else repr(error)}
        )
        self.note("run_ended", outcome=outcome, **why)
        with self._lock:
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        if self._worth:
            self._write_now()


class _Warnings(logging.Handler):
    """Adds the warnings of a run to its log: a lost worker, storage that does not answer."""

    def __init__(self, log: RunLog) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log.note("warning", message=record.getMessage())
