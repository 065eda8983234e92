from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from faulty_proxy import FaultyProxy
from s3_server import ENVIRONMENT, needs_s3, s3_server, uri

from network_atlas.errors import RootBusyError, StoreError
from network_atlas.files import filesystems
from network_atlas.store import lease as module
from network_atlas.store.lease import LEASE_FILE, Lease, read_lease, visible_processes
from network_atlas.store.root import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "root"))


OF_PROCESS: dict[str, object] = {"processes": "those of another machine", "pid_started": 12.5}
"""Fields of a lease by which a run tells whether the process lives."""


def write_lease(store: Store, **changes: object) -> None:
    """Write the lease of a run on another machine, renewed just now."""
    now = time.time()
    lease = {"host": "elsewhere", "pid": 7, "run": "another", "since": now - 90, "heartbeat": now} | OF_PROCESS
    store.write(LEASE_FILE, json.dumps(lease | changes).encode())


def test_a_lease_is_held_and_given_back(store: Store) -> None:
    with Lease(store):
        held = read_lease(store)
        assert held is not None
        assert (held["host"], held["pid"]) == (socket.gethostname(), os.getpid())
    assert read_lease(store) is None


def test_a_root_that_is_held_is_refused(store: Store) -> None:
    write_lease(store)
    with pytest.raises(RootBusyError, match="process 7 on elsewhere since"), Lease(store):
        pass
    held = read_lease(store)
    assert held is not None
    assert held["run"] == "another"


def test_a_holder_that_is_silent_for_long_has_lost_the_lease(store: Store) -> None:
    write_lease(store, heartbeat=time.time() - 61)
    with Lease(store):
        held = read_lease(store)
        assert held is not None
        assert held["pid"] == os.getpid()


def test_a_dead_process_of_this_machine_holds_no_lease(store: Store) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    write_lease(store, host=socket.gethostname(), pid=dead.pid, processes=visible_processes())
    with Lease(store):
        pass


@pytest.mark.parametrize("processes", ["another kernel or container", ""])
def test_a_process_that_is_not_visible_here_keeps_its_lease_until_it_is_silent(store: Store, processes: str) -> None:
    """Two containers with the same host name: no process here has the holder's number, but the holder is alive."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    write_lease(store, host=socket.gethostname(), pid=dead.pid, processes=processes)
    with pytest.raises(RootBusyError, match=f"process {dead.pid} on {socket.gethostname()}"), Lease(store):
        pass
    write_lease(store, host=socket.gethostname(), pid=dead.pid, processes=processes, heartbeat=time.time() - 61)
    with Lease(store):
        pass


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="needs Linux and root")
def test_a_container_of_the_same_host_name_counts_other_processes() -> None:
    program = (
        "import socket; from network_atlas.store.lease import visible_processes as v; print(socket.gethostname(), v())"
    )
    here, again, inside = (
        subprocess.run([*before, sys.executable, "-c", program], capture_output=True, text=True).stdout.split()
        for before in ([], [], ["unshare", "--pid", "--fork", "--mount-proc"])
    )
    if not inside:
        pytest.skip("this container may not make another one")
    assert here == again
    assert here[:3] == inside[:3]  # the host's name, twice, and the kernel's start
    assert here != inside


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"host": "x"}'])
def test_a_damaged_lease_is_free(store: Store, content: bytes) -> None:
    store.write(LEASE_FILE, content)
    with Lease(store):
        pass


def test_a_holder_renews_its_lease(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.02)
    with Lease(store):
        first = read_lease(store)
        deadline = time.monotonic() + 10
        while (later := read_lease(store)) is None or first is None or later["heartbeat"] == first["heartbeat"]:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_lease_that_another_run_took_over_is_left_to_it(store: Store) -> None:
    with Lease(store):
        write_lease(store)
    held = read_lease(store)
    assert held is not None
    assert held["run"] == "another"


@needs_s3
def test_a_short_failure_of_the_storage_costs_no_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(module, "BEAT_RETRY_SECONDS", 0.0)
    monkeypatch.setattr(filesystems, "S3_TRIES", 1)
    with s3_server() as port, FaultyProxy(port) as proxy:
        store = Store.open(uri(proxy.port, "bucket/atlas"))
        store.filesystem.create_dir("bucket")
        with Lease(store):
            proxy.spoil(1.0, "500", "reset")
            asked = len(proxy.requests)
            while len(proxy.requests) < asked + 5:
                time.sleep(0.01)
            proxy.spoil(0.0)
            before, deadline = time.time(), time.monotonic() + 10
            while (held := read_lease(store)) is None or held["heartbeat"] < before:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            proxy.spoil(1.0, "500", "reset")
            with pytest.raises(StoreError), Lease(store.within(0)):  # what can't be read is not free
                pass
            proxy.spoil(0.0)
        assert read_lease(store) is None


@pytest.mark.parametrize("beats", [True, False])
def test_a_lease_from_a_clock_that_is_ahead_counts_only_while_it_is_renewed(
    store: Store, monkeypatch: pytest.MonkeyPatch, beats: bool
) -> None:
    tomorrow = time.time() + 86_400
    lease = {"host": "elsewhere", "pid": 1, "run": "x", "since": tomorrow, "heartbeat": tomorrow} | OF_PROCESS
    monkeypatch.setattr("network_atlas.store.lease.HEARTBEAT_SECONDS", 0.2)
    store.write(LEASE_FILE, json.dumps(lease).encode())
    if beats:
        again = json.dumps(lease | {"heartbeat": tomorrow + 1}).encode()
        threading.Timer(0.1, store.write, (LEASE_FILE, again)).start()
        with pytest.raises(RootBusyError, match="elsewhere"), Lease(store):
            pass
    else:
        with Lease(store):
            pass
