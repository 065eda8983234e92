"""One run at a time works on a root: it holds a lease there, and renews it every few seconds.

    with Lease(store):
        ...

Results could be shared safely (they are named by their content), but tables and pages would be written twice, and
two clusters be paid for one atlas. A lease is a file, `lease.json`. It is taken, renewed and taken over only if it is
still as it was read (`network_atlas.store.swap` says on which storage this is certain). A lease whose holder has been
silent for a minute is free.

Runs that do one share each of a sweep (`sweep.share=2/8`) may work at the same time: each holds a lease of its own,
`leases/2-of-8.json`. The same share again, another division (2/4) and a run without shares are refused. Their leases
are different files, so a run takes its lease first and reads the others after that: of two runs that exclude each other
and start at the same moment at most one goes on, and perhaps none.

Each attempt to renew a lease is retried for seconds only: the next heartbeat comes soon anyway.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import psutil

from network_atlas.errors import RootBusyError, StoreError
from network_atlas.store.paths import Store
from network_atlas.store.swap import Content, open_swap

LEASE_FILE = "lease.json"
SHARE_FOLDER = "leases"
HEARTBEAT_SECONDS = 10.0
STALE_SECONDS = 60.0
BEAT_RETRY_SECONDS = 5.0
START_TOLERANCE_SECONDS = 1.0
"""Start times are known to a hundredth of a second; the system does not give a number out again within a second."""

log = logging.getLogger(__name__)


class Lease:
    """The right to work on a root, held as long as the context."""

    def __init__(self, store: Store, run: str = "", share: str = "") -> None:
        """`run` is the name of the run; no two runs have the same. `share` is the part that it does, such as '2/8'."""
        self._store = store
        self._swap, self._heartbeat_swap = open_swap(store), open_swap(store.within(BEAT_RETRY_SECONDS))
        number, _, self._count = share.partition("/")
        self._file = f"{SHARE_FOLDER}/{number}-of-{self._count}.json" if share else LEASE_FILE
        self._run = run or uuid.uuid4().hex
        self._since = time.time()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._stay_alive, name="lease", daemon=True)

    def __enter__(self) -> Lease:
        self._refuse_if_held(lease_files(self._store))
        seen = self._swap.read(self._file)
        # Looked at again: between the first look and this read another run may have taken it.
        self._refuse_if_at_work(self._file, _parsed(seen))
        if not self._swap.replace(self._file, self._content(), seen):
            raise RootBusyError(_busy(self._store.root, _parsed(self._swap.read(self._file)) or {}, self._file))
        try:
            self._refuse_if_held([path for path in lease_files(self._store) if path != self._file])
        except BaseException:
            self._give_back()
            raise
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        self._thread.join()
        self._give_back()

    def _give_back(self) -> None:
        try:
            if self._is_ours(self._heartbeat_swap.read(self._file)):
                self._store.within(BEAT_RETRY_SECONDS).delete(self._file)
        except StoreError as error:  # the root may be what broke; a minute later the lease is free anyway
            log.warning("the lease could not be given back: %s", error)

    def _stay_alive(self) -> None:
        while not self._ended.wait(HEARTBEAT_SECONDS):
            try:
                seen = self._heartbeat_swap.read(self._file)
                if not self._is_ours(seen) or not self._heartbeat_swap.replace(self._file, self._content(), seen):
                    log.warning(
                        "another run has taken over %s; results are shared, tables are written by both", self._file
                    )
                    return
            except StoreError as error:  # the next heartbeat may succeed; the run meets the fault by itself
                log.warning("the lease could not be renewed: %s", error)

    def _refuse_if_held(self, paths: Iterable[str]) -> None:
        """Raise RootBusyError if a run that excludes this one holds one of the leases at `paths`."""
        for path in paths:
            if self._excludes(path):
                self._refuse_if_at_work(path, read_lease(self._store, path))

    def _refuse_if_at_work(self, path: str, holder: dict[str, Any] | None) -> None:
        if holder is not None and not is_gone(holder) and self._beats(path, holder):
            raise RootBusyError(_busy(self._store.root, holder, path))

    def _excludes(self, path: str) -> bool:
        """Say whether who holds the lease at `path` must end first: all but other shares of the same division."""
        return not (self._count and path != self._file and path.endswith(f"-of-{self._count}.json"))

    def _beats(self, path: str, holder: dict[str, Any]) -> bool:
        """Say whether a holder is at work; where its clock is ahead of ours, by whether it renews its lease."""
        if float(holder["heartbeat"]) <= time.time() + HEARTBEAT_SECONDS:
            return True
        log.warning("%s was written by a clock that is ahead of this one; checking whether its run is alive", path)
        time.sleep(2 * HEARTBEAT_SECONDS)
        later = read_lease(self._store, path)
        return later is not None and later["heartbeat"] != holder["heartbeat"]

    def _is_ours(self, content: Content | None) -> bool:
        holder = _parsed(content)
        return holder is not None and holder["run"] == self._run

    def _content(self) -> bytes:
        lease = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "processes": visible_processes(),
            "pid_started": _started(os.getpid()),
            "run": self._run,
            "since": self._since,
            "heartbeat": time.time(),
        }
        return json.dumps(lease).encode()


def lease_files(store: Store) -> list[str]:
    """Return where leases may be: that of whole runs, and those of shares that are there."""
    return [LEASE_FILE, *store.list(SHARE_FOLDER)]


def read_lease(store: Store, path: str = LEASE_FILE) -> dict[str, Any] | None:
    """Return who holds a lease: `host, pid, run, since, heartbeat` (times in seconds since 1970); None if nobody.

    Raises StoreError where that can't be told: a lease that can't be read is not free.
    """
    data = store.read_if_there(path)
    return None if data is None else _parsed(Content(data))


def _parsed(content: Content | None) -> dict[str, Any] | None:
    """Return who holds the lease that a file says; None for no file or a damaged one."""
    if content is None:
        return None
    try:
        raw: dict[str, Any] = json.loads(content.data)
        _ = raw["host"], int(raw["pid"]), raw["run"], float(raw["since"]), float(raw["heartbeat"])
    except (ValueError, TypeError, KeyError):
        return None
    return raw


def is_gone(holder: Mapping[str, Any]) -> bool:
    """Say whether a holder no longer works: silent for long, or a process that is visible from here and has ended.

    A holder that can't be judged from here keeps its lease until it has been silent for long.
    """
    if time.time() - float(holder["heartbeat"]) > STALE_SECONDS:
        return True
    if not holder.get("processes") or holder["processes"] != visible_processes():
        return False
    pid = int(holder["pid"])
    if not psutil.pid_exists(pid):
        return True
    then, now = holder.get("pid_started"), _started(pid)
    # Another start time: the number was given to a new process since.
    return then is not None and now is not None and abs(now - float(then)) > START_TOLERANCE_SECONDS


def visible_processes() -> str:
    """Return a name for the set of processes whose numbers mean something here; '' where the system has none.

    The host name alone is not enough: two containers may share it, as on a cluster whose pods are all called alike, and
    each counts its processes from 1. So the name has the kernel's start (boot_id) and the namespace of process numbers
    too. The host name is kept in it: machines that were resumed from one snapshot have the same boot_id.
    """
    if sys.platform != "linux":  # no namespaces: all processes of a machine see each other
        return f"{socket.gethostname()} {uuid.getnode():x}"
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()} {boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _started(pid: int) -> float | None:
    """Return when a process began, in seconds since the machine did; None if the system does not tell.

    Not in seconds since 1970: that start time moves when the clock is set, and a living holder would count as gone.
    """
    try:
        return float(psutil.Process(pid).create_time() - psutil.boot_time())
    except psutil.Error:
        return None


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
