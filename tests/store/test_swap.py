"""Of many that try to take a lease at once, exactly one gets it: threads, processes, and on a real S3 server."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from faulty_proxy import FaultyProxy
from s3_server import needs_s3, s3_bucket, uri

from network_atlas.errors import RootBusyError
from network_atlas.store.lease import LEASE_FILE, Lease, is_gone, read_lease
from network_atlas.store.root import STAGING, Store
from network_atlas.store.swap import Content, LocalSwap, ReadBackSwap, S3Swap, open_swap

AT_ONCE = 12


@pytest.fixture(scope="module")
def bucket() -> Iterator[int]:
    with s3_bucket() as port:
        yield port


@pytest.fixture(params=["local", pytest.param("s3", marks=needs_s3)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "local":
        return Store.open(str(tmp_path / "root"))
    port = request.getfixturevalue("bucket")
    return Store.open(uri(port, f"bucket/{tmp_path.name}"))


def taken(store: Store, barrier: threading.Barrier, run: str) -> bool:
    barrier.wait()
    with contextlib.suppress(RootBusyError), Lease(store, run):
        time.sleep(1.0)  # longer than all others need for their attempt
        return True
    return False


@pytest.mark.parametrize("stale", [False, True])
def test_of_many_threads_at_once_exactly_one_gets_the_lease(store: Store, stale: bool) -> None:
    if stale:  # a run that died: one of the others may take over its lease
        old = {"host": "elsewhere", "pid": 1, "run": "old", "since": 0, "heartbeat": time.time() - 100}
        store.write(LEASE_FILE, json.dumps(old | {"processes": "", "pid_started": None}).encode())
    barrier = threading.Barrier(AT_ONCE)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        held = list(pool.map(lambda number: taken(store, barrier, f"run-{number}"), range(AT_ONCE)))
    assert held.count(True) == 1
    assert read_lease(store) is None  # given back


PROCESS = """
import sys, time
from network_atlas.errors import RootBusyError
from network_atlas.store.lease import Lease
from network_atlas.store.root import Store
store, start = Store.open(sys.argv[1]), float(sys.argv[2])
time.sleep(max(0.0, start - time.time()))
try:
    with Lease(store):
        time.sleep(2.0)
        print("held")
except RootBusyError:
    print("refused")
"""


def test_processes_exclude_each_other(tmp_path: Path) -> None:
    root, start = tmp_path / "root", time.time() + 6.0
    command = [sys.executable, "-c", PROCESS, str(root), str(start)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    answers = sorted(process.communicate(timeout=60)[0].strip() for process in processes)
    assert answers == ["held", "refused", "refused", "refused"]
    assert not list((root / STAGING).glob("*"))


def test_a_file_that_changed_since_it_was_read_is_left_alone(store: Store) -> None:
    swap = open_swap(store)
    assert swap.read("x.json") is None
    assert swap.replace("x.json", b"1", None)
    seen = swap.read("x.json")
    assert seen is not None
    assert seen.data == b"1"
    assert not swap.replace("x.json", b"2", None)  # it is there
    assert swap.replace("x.json", b"2", seen)
    assert not swap.replace("x.json", b"3", seen)  # it is another
    assert store.read("x.json") == b"2"
    store.delete("x.json")
    assert not swap.replace("x.json", b"3", seen)  # it is gone
    assert not store.exists("x.json")


def test_each_store_uses_its_safest_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    local = Store.open(str(tmp_path))
    assert isinstance(open_swap(local), LocalSwap)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    region = "region=us-east-1&endpoint_override=127.0.0.1:9&scheme=http"
    s3 = Store.open(f"s3://bucket/a?{region}&request_timeout=7")
    assert isinstance(open_swap(s3), S3Swap)
    # obstore does not have this option, so the lease is read back instead.
    assert isinstance(open_swap(Store.open(f"s3://bucket/a?{region}&smart_defaults=auto")), ReadBackSwap)


def test_without_a_conditional_put_the_last_writer_has_the_file(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    swap = ReadBackSwap(store)
    assert swap.replace("x.json", b"1", None)
    assert not swap.replace("x.json", b"2", Content(b"other"))
    assert swap.read("x.json") == Content(b"1")


def shares_held_together(store: Store, shares: list[str]) -> list[str]:
    """Return the shares whose leases are held after all threads have tried once, at the same moment."""
    start, tried = threading.Barrier(len(shares)), threading.Barrier(len(shares))

    def attempt(share: str) -> str:
        start.wait()
        with contextlib.ExitStack() as lease:
            try:
                lease.enter_context(Lease(store, share=share))
            except RootBusyError:
                share = ""
            finally:  # after another error too: it is to be seen, not that the others wait for this thread
                tried.wait(30)
        return share

    with ThreadPoolExecutor(len(shares)) as pool:
        return sorted(share for share in pool.map(attempt, shares) if share)


def test_shares_of_one_division_may_run_together_others_may_not(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    assert shares_held_together(store, ["1/3", "2/3", "3/3"]) == ["1/3", "2/3", "3/3"]
    for _ in range(20):
        assert len(shares_held_together(store, ["1/2", "1/4", "1/8"])) <= 1


@needs_s3
def test_a_conditional_put_whose_answer_was_lost_counts_as_done(bucket: int) -> None:
    with FaultyProxy(bucket) as proxy:
        swap = open_swap(Store.open(uri(proxy.port, "bucket/lost")))
        proxy.spoil(0.5, "lost", seed=3)
        assert swap.replace("file", b"ours", None)
        assert ("PUT", "/bucket/lost/file", "lost") in proxy.requests
        proxy.spoil(0.0)
        assert not swap.replace("file", b"theirs", None)
        content = swap.read("file")
        assert content is not None
        assert content.data == b"ours"


@needs_s3
def test_with_a_profile_no_other_identity_is_used(bucket: int, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.open(uri(bucket, "bucket/profile"))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_PROFILE", "work")
    assert isinstance(open_swap(store), ReadBackSwap)


def test_a_later_process_with_the_holders_number_is_not_the_holder(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    with Lease(store):
        holder = read_lease(store)
    assert holder is not None
    earlier = holder | {"pid_started": holder["pid_started"] - 5}
    assert not is_gone(holder)
    assert is_gone(earlier)
    assert not is_gone(earlier | {"processes": "elsewhere"})
