"""A lease lets only one run at a time work on a root. Its holder renews it every few seconds.

    with Lease(store):
        ...

Two runs on one root would do no harm to results, which are named by their content. But they would write tables and
pages twice, and two clusters would be paid for one atlas. A lease is a file, `lease.json`. It is only taken, renewed or
taken over if it has not changed since it was read (`network_atlas.store.swap` says on which storage this is certain).
A lease that has not been renewed for a minute is free.

Runs of different shares of a sweep (`sweep.share=2/8`) may work at the same time: each holds its own lease,
`leases/2-of-8.json`. A second run of the same share, of another division (2/4), or without shares is refused. These
leases are different files. So each run takes its own first and then checks the others: of two runs that exclude each
other and start at the same moment, at most one goes on, and possibly none.

An attempt to renew a lease is retried for seconds only, since the next heartbeat comes soon.
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
from network_atlas.store.root import Store
from network_atlas.store.swap import Content, open_swap

LEASE_FILE = "lease.json"
SHARE_FOLDER = "leases"
HEARTBEAT_SECONDS = 10.0
BUSY = "is being worked on by"
"""In the message of a run that another one keeps from a root."""
STALE_SECONDS = 60.0
"""Six heartbeats: a holder may miss some of them while its storage fails for a moment."""
BEAT_RETRY_SECONDS = 5.0
START_TOLERANCE_SECONDS = 1.0
"""Start times are known to a hundredth of a second, and the system does not reuse a process number within a second."""

log = logging.getLogger(__name__)


class Lease:
    """The right to work on a root, held while the context lasts."""

    def __init__(self, store: Store, run: str = "", share: str = "") -> None:
        """`run` is the unique name of the run, `share` the part of the sweep that it does, such as '2/8'."""
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
        # Checked again: another run may have taken the lease between the check above and this read.
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
        except StoreError as error:  # the root itself may have failed; the lease expires within a minute anyway
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
            except StoreError as error:  # the next heartbeat may succeed; if not, the run itself fails at a result
                log.warning("the lease could not be renewed: %s", error)

    def _refuse_if_held(self, paths: Iterable[str]) -> None:
        """Raise RootBusyError if one of the leases at `paths` is held by a run that excludes this one."""
        for path in paths:
            if self._excludes(path):
                self._refuse_if_at_work(path, read_lease(self._store, path))

    def _refuse_if_at_work(self, path: str, holder: dict[str, Any] | None) -> None:
        if holder is not None and not is_gone(holder) and self._beats(path, holder):
            raise RootBusyError(_busy(self._store.root, holder, path))

    def _excludes(self, path: str) -> bool:
        """Say whether the holder of the lease at `path` excludes this run: only other shares of its division do not."""
        return not (self._count and path != self._file and path.endswith(f"-of-{self._count}.json"))

    def _beats(self, path: str, holder: dict[str, Any]) -> bool:
        """Say whether a holder is alive. If its clock is ahead of ours, wait and see whether it renews its lease."""
        if float(holder["heartbeat"]) <= time.time() + HEARTBEAT_SECONDS:
            return True
        log.warning("%s was written by a clock that is ahead of this one; checking whether its run is alive", path)
        time.sleep(2 * HEARTBEAT_SECONDS)  # a living holder renews its lease at least once in that time
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
    """Return the paths of leases: that of runs without shares, whether or not it exists, and those of shares."""
    return [LEASE_FILE, *store.list(SHARE_FOLDER)]


def read_lease(store: Store, path: str = LEASE_FILE) -> dict[str, Any] | None:
    """Return the holder of a lease: `host, pid, run, since, heartbeat`, times in seconds since 1970; None if free.

    Raises StoreError if the file can't be read: that does not mean that the lease is free.
    """
    data = store.read_if_there(path)
    return None if data is None else _parsed(Content(data))


def _parsed(content: Content | None) -> dict[str, Any] | None:
    """Return the holder that a lease file names; None if there is no file or it is damaged."""
    if content is None:
        return None
    try:
        raw: dict[str, Any] = json.loads(content.data)
        _ = raw["host"], int(raw["pid"]), raw["run"], float(raw["since"]), float(raw["heartbeat"])
        _ = raw["processes"], raw["pid_started"]
    except (ValueError, TypeError, KeyError):
        return None
    return raw


def is_gone(holder: Mapping[str, Any]) -> bool:
    """Say whether a holder has ended: it has been silent for long, or its process is on this machine and is gone.

    A holder whose process is not visible from here keeps its lease until it has been silent for long.
    """
    if time.time() - float(holder["heartbeat"]) > STALE_SECONDS:
        return True
    if not holder["processes"] or holder["processes"] != visible_processes():
        return False
    pid = int(holder["pid"])
    if not psutil.pid_exists(pid):
        return True
    then, now = holder["pid_started"], _started(pid)
    # Another start time: a new process has the number now.
    return then is not None and now is not None and abs(now - float(then)) > START_TOLERANCE_SECONDS


def visible_processes() -> str:
    """Return a name for the set of processes that this one can see by their numbers; '' if the system has no such name.

    The host name alone is not enough. Two containers may have the same one, as in a cluster that gives all pods one
    name, and each counts its processes from 1. So the name also has the kernel's boot_id and the namespace of process
    numbers. The boot_id alone is not enough either: virtual machines resumed from one snapshot have the same.
    """
    if sys.platform != "linux":  # no namespaces: all processes of a machine see each other
        return f"{socket.gethostname()} {uuid.getnode():x}"
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()} {boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _started(pid: int) -> float | None:
    """Return the start of a process in seconds since the machine started; None if the system does not say.

    Not in seconds since 1970: that start time changes when the clock is set, and a living holder would count as gone.
    """
    try:
        return float(psutil.Process(pid).create_time() - psutil.boot_time())
    except psutil.Error:
        return None


def _busy(root: str, holder: dict[str, Any], path: str) -> str:
    # `holder` is empty where the run that was faster has given the lease back meanwhile.
    share = "" if path == LEASE_FILE else f", sweep.share={path.rpartition('/')[2][:-5].replace('-of-', '/')},"
    who = f"process {holder.get('pid', '?')} on {holder.get('host', '?')}{share}"
    since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(float(holder.get("since", time.time()))))
    heard = max(0.0, time.time() - float(holder.get("heartbeat", time.time())))
    return (
        f"store.root={root!r} {BUSY} {who} since {since} (heard of {heard:.0f} s ago). Wait for it, "
        "stop it, or give another store.root. A run that died frees its root "
        f"{STALE_SECONDS:.0f} s after it was last heard of."
    )
