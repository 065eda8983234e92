from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from faulty_proxy import CODES, FAULTS, Fault, FaultyProxy
from pyarrow import fs
from s3_server import needs_s3, s3_bucket, uri

from network_atlas.errors import CorruptShardError, StoreError
from network_atlas.files import filesystems, retries
from network_atlas.files.retries import is_transient, reason, with_retries
from network_atlas.store import scan_schemas
from network_atlas.store.root import Store
from network_atlas.store.shards import put_shard, read_rows

AWS = "When reading 'x' in bucket 'y': AWS Error "


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for hundredths of a second."""
    monkeypatch.setattr(retries, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(retries, "LONGEST_WAIT_SECONDS", 0.02)
    monkeypatch.setattr(filesystems, "S3_TRIES", 1)


class Failing:
    """Fails so many times, and counts."""

    def __init__(self, error: Exception, times: int) -> None:
        self.error, self.times, self.calls = error, times, 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.times:
            raise self.error
        return "done"


@pytest.mark.parametrize("number", [errno.EINTR, errno.EAGAIN, errno.ESTALE, errno.EIO, errno.ETIMEDOUT])
def test_what_may_pass_is_tried_again_until_it_has(number: int) -> None:
    work = Failing(OSError(number, os.strerror(number)), times=3)
    assert with_retries(work, what="look") == "done"
    assert work.calls == 4


@pytest.mark.parametrize(
    "error",
    [
        *(OSError(number, os.strerror(number)) for number in (errno.ENOSPC, errno.EROFS, errno.EACCES, errno.ENOENT)),
        OSError(AWS + "ACCESS_DENIED during GetObject operation: no"),
        OSError(AWS + "UNKNOWN (HTTP status 403) during HeadObject operation: No response body."),
        OSError(AWS + "NO_SUCH_BUCKET during PutObject operation: The specified bucket does not exist"),
        OSError(AWS + "NETWORK_CONNECTION during HeadObject operation: curlCode: 60, SSL peer certificate was not OK"),
        pa.ArrowInvalid("Parquet magic bytes not found in footer."),
        ValueError("AWS Error SLOW_DOWN"),
    ],
    ids=str,
)
def test_what_stays_wrong_is_raised_at_once(error: Exception) -> None:
    work = Failing(error, times=1)
    with pytest.raises(type(error)) as caught:
        with_retries(work, what="look")
    assert work.calls == 1
    assert caught.value is error


@pytest.mark.parametrize(
    "error",
    [
        OSError(AWS + "UNKNOWN (HTTP status 503) during HeadObject operation: No response body."),
        OSError(AWS + "SLOW_DOWN during PutObject operation: injected"),
        OSError(AWS + "INTERNAL_FAILURE during PutObject operation: injected"),
        OSError(AWS + "NO_SUCH_UPLOAD during CompleteMultipartUpload operation: The specified upload does not exist"),
        OSError(AWS + "NETWORK_CONNECTION during GetObject operation: curlCode: 56, Connection reset by peer"),
        ConnectionResetError("by peer"),
        TimeoutError("late"),
    ],
    ids=str,
)
def test_an_object_stores_faults_may_pass(error: OSError) -> None:
    assert is_transient(error)


def test_retrying_ends_and_says_how_often_was_tried(caplog: pytest.LogCaptureFixture) -> None:
    work = Failing(OSError(errno.EIO, "Input/output error"), times=10**9)
    with pytest.raises(OSError, match="Input/output") as caught:
        with_retries(work, what="look at 'x'", seconds=0.2)
    assert 3 < work.calls < 1000
    assert f"input/output error, tried {work.calls} times in 0 s" in reason(caught.value)
    assert caplog.text.count("can't look at 'x' at the moment (input/output error); trying again, for 0 s at most") == 1


def test_what_is_wrong_on_a_disk_is_said_at_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "plan").write_text("a file where a folder should be")
    with pytest.raises(StoreError, match="fix this and run the same command again") as caught:
        Store.open(str(tmp_path)).write("plan/run.json", b"{}")
    assert "tried" not in str(caught.value)
    assert caplog.text == ""


# ---- On a real server, behind a proxy that spoils requests.


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    with s3_bucket() as port:
        yield port


@pytest.fixture
def proxy(server: int) -> Iterator[FaultyProxy]:
    with FaultyProxy(server) as proxy:
        yield proxy


@needs_s3
@pytest.mark.parametrize("fault", FAULTS)
def test_every_operation_survives_every_fault(proxy: FaultyProxy, fault: Fault) -> None:
    store = Store.open(uri(proxy.port, f"bucket/{fault}", request_timeout=1))
    proxy.spoil(0.3 if fault == "slow" else 0.5, fault, seed=1, slow_seconds=1.5)
    for number in range(3):
        store.write(f"a/{number}", b"x" * 5000)
        assert store.read(f"a/{number}") == b"x" * 5000
    assert store.sizes("a") == {f"a/{number}": 5000 for number in range(3)}
    store.delete("a/0")
    store.delete("a/0")
    assert store.read_if_there("a/0") is None
    assert not store.exists("a/0")
    assert store.list("a") == ["a/1", "a/2"]
    assert fault in {what for _, _, what in proxy.requests}


@needs_s3
def test_a_table_is_read_through_faults_and_never_taken_for_a_broken_one(proxy: FaultyProxy) -> None:
    store = Store.open(uri(proxy.port, "bucket/tables"))
    rows = [{"example_id": f"{number}.png", "reason": "x" * 50} for number in range(100)]
    entry = put_shard(store, "failures", rows, scan_schemas.FAILURES)
    proxy.spoil(0.5, "500", "reset", "cut")
    assert [read_rows(store, entry.path) for _ in range(3)] == [rows] * 3
    proxy.spoil(1.0, "500", "reset", "cut")
    with pytest.raises(StoreError, match=r"tried \d+ times in \d+ s\. .*when the storage answers") as caught:
        read_rows(store.within(0.1), entry.path)
    assert not isinstance(caught.value, CorruptShardError)


@needs_s3
def test_what_is_refused_for_good_costs_one_request(proxy: FaultyProxy) -> None:
    store = Store.open(uri(proxy.port, "nobodys/atlas"))
    with pytest.raises(StoreError, match="NO_SUCH_BUCKET"):
        store.write("x", b"")
    assert len(proxy.requests) == 1


@needs_s3
def test_a_uri_says_how_long_to_wait_for_an_answer(proxy: FaultyProxy) -> None:
    assert set(CODES) < set(FAULTS)
    Store.open(uri(proxy.port, "bucket/slow")).write("x", b"")
    proxy.spoil(1.0, "slow", slow_seconds=4.0)  # Arrow's own limit is three seconds
    assert Store.open(uri(proxy.port, "bucket/slow")).exists("x")
    with pytest.raises(StoreError, match="Timeout was reached"):
        Store.open(uri(proxy.port, "bucket/slow", request_timeout=1)).within(0).exists("x")


@needs_s3
def test_the_client_itself_tries_single_requests_again(
    proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(filesystems, "S3_TRIES", 3)
    store = Store.open(uri(proxy.port, "bucket/client"))
    proxy.spoil(1.0, "500")
    with pytest.raises(StoreError, match="INTERNAL_FAILURE"):
        store.within(0).write("x", b"")
    assert len(proxy.requests) == 3
    assert caplog.text == ""


def test_what_only_a_uri_can_say_is_kept() -> None:
    plain, _ = fs.FileSystem.from_uri("s3://bucket/?region=eu-west-3&tls_verify_certificates=false")
    opened, path = filesystems.open_filesystem("s3://bucket/a?region=eu-west-3&tls_verify_certificates=false")
    assert path == "bucket/a"
    assert opened.region == plain.region == "eu-west-3"
