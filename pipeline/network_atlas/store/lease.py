"""One run at a time works on a root: it holds a lease there, and says every few seconds that it is alive.

    with Lease(store):
        ...

Results could be shared safely (they are named by their content), but tables and pages would be written twice, and
two clusters be paid for one atlas. A lease is a file, `lease.json`. Filesystems behind one interface have no common
way to create a file only if there is none, so a lease is written and then read back: of two that write at the same
moment the last one mostly has it, and the other sees that; a gap of milliseconds remains, in which both go on,
harmlessly but for the cost. A lease whose holder has not been heard of for a minute is free.

Of all files this one alone is written by several, so a put that is tried again for long could come after another run
has taken over. A beat therefore bears with a failing storage for seconds only: the next one comes soon anyway.

Runs that do one share each of a sweep (`sweep.share=2/8`) don't get in each other's way: each holds a lease of its
own, `leases/2-of-8.json`. The same share again, another division (2/4) and a run without shares are refused.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Mapping
from typing import Any

from network_atlas.errors import RootBusyError, StoreError
from network_atlas.store.paths import Store

LEASE_FILE = "lease.json"
SHARE_FOLDER = "leases"
HEARTBEAT_SECONDS = 10.0
STALE_SECONDS = 60.0
BEAT_RETRY_SECONDS = 5.0

log = logging.getLogger(__name__)


class Lease:
    """The right to work on a root, held as long as the context."""

    def __init__(self, store: Store, run: str = "", share: str = "") -> None:
        """`run` is the name of the run; no two runs have the same. `share` is the part that it does, such as '2/8'."""
        self._store, self._beating = store, store.within(BEAT_RETRY_SECONDS)
        number, _, self._count = share.partition("/")
        self._file = f"{SHARE_FOLDER}/{number}-of-{self._count}.json" if share else LEASE_FILE
        self._run = run or uuid.uuid4().hex
        self._since = time.time()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._stay_alive, name="lease", daemon=True)

    def __enter__(self) -> Lease:
        for path in lease_files(self._store):
            holder = read_lease(self._store, path)
            if self._excludes(path) and holder is not None and not is_gone(holder) and self._beats(path, holder):
                raise RootBusyError(_busy(self._store.root, holder, path))
        self._write(self._store)
        holder = read_lease(self._store, self._file)
        if holder is None or holder["run"] != self._run:
            raise RootBusyError(_busy(self._store.root, holder or {}, self._file))
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        self._thread.join()
        try:
            if self._is_ours():
                self._beating.delete(self._file)
        except StoreError as error:  # the root may be what broke; a minute later the lease is free anyway
            log.warning("the lease could not be given back: %s", error)

    def _stay_alive(self) -> None:
        while not self._ended.wait(HEARTBEAT_SECONDS):
            try:
                if not self._is_ours():
                    log.warning(
                        "another run has taken over %s; results are shared, tables are written by both", self._file
                    )
                    return
                self._write(self._beating)
            except StoreError as error:  # the next beat may get through; the run meets the fault by itself
                log.warning("the lease could not be renewed: %s", error)

    def _excludes(self, path: str) -> bool:
        """Say whether who holds the lease at `path` must end first: all but other shares of the same division."""
        return not (self._count and path != self._file and path.endswith(f"-of-{self._count}.json"))

    def _beats(self, path: str, holder: dict[str, Any]) -> bool:
        """Say whether a holder is at work; where its clock is ahead of ours, by whether it is heard of again."""
        if float(holder["heartbeat"]) <= time.time() + HEARTBEAT_SECONDS:
            return True
        log.warning("%s was written by a clock that is ahead of this one; looking whether its run is alive", path)
        time.sleep(2 * HEARTBEAT_SECONDS)
        later = read_lease(self._store, path)
        return later is not None and later["heartbeat"] != holder["heartbeat"]

    def _is_ours(self) -> bool:
        holder = read_lease(self._beating, self._file)
        return holder is not None and holder["run"] == self._run

    def _write(self, store: Store) -> None:
        lease = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "run": self._run,
            "since": self._since,
            "heartbeat": time.time(),
        }
        store.write(self._file, json.dumps(lease).encode())


def lease_files(store: Store) -> list[str]:
    """Return where leases may be: that of whole runs, and those of shares that are there."""
    return [LEASE_FILE, *store.list(SHARE_FOLDER)]


def read_lease(store: Store, path: str = LEASE_FILE) -> dict[str, Any] | None:
    """Return who holds a lease: `host, pid, run, since, heartbeat` (times in seconds since 1970); None if nobody.

    Raises StoreError where that can't be told: a lease that can't be read is not free.
    """
    data = store.read_if_there(path)
    if data is None:
        return None
    try:
        raw: dict[str, Any] = json.loads(data)
        _ = raw["host"], int(raw["pid"]), raw["run"], float(raw["since"]), float(raw["heartbeat"])
    except (ValueError, TypeError, KeyError):  # no lease
        return None
    return raw


def is_gone(holder: Mapping[str, Any]) -> bool:
    """Say whether a holder works no more: silent for long, or a process of this machine that is not there."""
    if time.time() - float(holder["heartbeat"]) > STALE_SECONDS:
        return True
    if holder["host"] != socket.gethostname():
        return False
    try:
        os.kill(int(holder["pid"]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False  # another user's, alive
    return False


def _busy(root: str, holder: dict[str, Any], path: str) -> str:
    share = "" if path == LEASE_FILE else f", sweep.share={path.rpartition('/')[2][:-5].replace('-of-', '/')},"
    who = f"process {holder.get('pid', '?')} on {holder.get('host', '?')}{share}"
    since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(float(holder.get("since", time.time()))))
    heard = max(0.0, time.time() - float(holder.get("heartbeat", time.time())))
    return (
        f"store.root={root!r} is being worked on by {who} since {since} (heard of {heard:.0f} s ago). Wait for it, "
        "stop it, or give another store.root. A run that died frees its root "
        f"{STALE_SECONDS:.0f} s after it was last heard of."
    )
