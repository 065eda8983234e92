"""The server: pages from any store, to this machine only, and nothing but pages."""

from __future__ import annotations

import gzip
import http.client
import posixpath
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from network_atlas.errors import ConfigError
from network_atlas.site.server import HOST, PORT, PORTS_TRIED, make_server, site_path
from network_atlas.store.root import Store

Answer = tuple[int, dict[str, str], bytes]


@contextmanager
def serving(root: Path | Store) -> Iterator[Callable[..., Answer]]:
    """Serve a folder; yield a function that asks for an address exactly as it is written."""
    server = make_server(root if isinstance(root, Store) else Store.open(str(root)), port=0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()

    def ask(address: str, method: str = "GET", host: str | None = None, accept: str = "") -> Answer:
        connection = http.client.HTTPConnection(HOST, server.server_address[1], timeout=10)
        try:
            connection.putrequest(method, address, skip_host=True, skip_accept_encoding=True)
            if host is not None:
                connection.putheader("Host", host)
            if accept:
                connection.putheader("Accept-Encoding", accept)
            connection.endheaders()
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        finally:
            connection.close()

    try:
        yield ask
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store with a small site, and a secret beside it."""
    root = tmp_path / "åtlas 図"
    store = Store.open(str(root))
    for name in ("index.html", "layers/0001-a.html", "layers/0001-a.js", "assets/atlas.css"):
        store.write(f"site/{name}", name.encode())
    store.write("site/layers/0001-a/pictures-000.png", b"png")
    store.write("site/layers/0001-a/examples-000.webp", b"jpg")
    store.write("secret.html", b"secret")
    return root


@pytest.mark.parametrize(
    ("address", "body", "content_type"),
    [
        ("/", b"index.html", "text/html; charset=utf-8"),
        ("/index.html", b"index.html", "text/html; charset=utf-8"),
        ("/layers/0001-a.html?x=1#channel=3", b"layers/0001-a.html", "text/html; charset=utf-8"),
        ("/layers/0001%2Da.js", b"layers/0001-a.js", "text/javascript; charset=utf-8"),
        ("/assets/atlas.css", b"assets/atlas.css", "text/css; charset=utf-8"),
        ("/layers/0001-a/pictures-000.png", b"png", "image/png"),
        ("/layers/0001-a/examples-000.webp", b"jpg", "image/webp"),
    ],
)
def test_files_come_whole_with_their_content_type(root: Path, address: str, body: bytes, content_type: str) -> None:
    with serving(root) as ask:
        status, headers, received = ask(address)
    assert (status, received) == (200, body)
    assert headers["Content-Type"] == content_type
    assert headers["Content-Length"] == str(len(body))


def test_head_answers_without_a_body(root: Path) -> None:
    with serving(root) as ask:
        status, headers, body = ask("/", method="HEAD")
    assert (status, headers["Content-Length"], body) == (200, "10", b"")


@pytest.mark.parametrize(
    "address",
    [
        "/missing.html",
        "/layers",
        "/layers/",
        "/../secret.html",
        "/%2e%2e/secret.html",
        "/layers/..%2f..%2f..%2fsecret.html",
        "/..%5csecret.html",
        "/%00",
        "/%ff%fe",
        "/" + "a" * 5000,
        "/" + "a/" * 5000,
        "http://[/secret.html",
    ],
)
def test_what_is_no_page_is_not_found(root: Path, address: str) -> None:
    with serving(root) as ask:
        status, _, body = ask(address)
    assert status == 404
    assert b"secret" not in body


def test_a_failing_store_is_named_without_a_traceback(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    nobody_listens = "s3://bucket/atlas?endpoint_override=127.0.0.1:1&scheme=http&region=us-east-1"
    with serving(Store.open(nobody_listens).within(0)) as ask:
        status, headers, body = ask("/index.html")
    assert status == 500
    assert headers["Content-Type"].startswith("text/html")
    assert b"Traceback" not in body
    assert b"can't look at" in body.replace(b"&#x27;", b"'")
    assert capfd.readouterr() == ("", "")


def test_only_reading_is_possible(root: Path) -> None:
    with serving(root) as ask:
        assert ask("/index.html", method="DELETE")[0] == 501
    assert Store.open(str(root)).exists("site/index.html")


def test_the_server_listens_to_this_machine_only(root: Path) -> None:
    with make_server(Store.open(str(root)), port=0) as server:
        assert server.server_address[0] == "127.0.0.1"


def test_a_port_in_use_is_the_callers_mistake(root: Path) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} .*--port"):
            make_server(Store.open(str(root)), port=port)


def test_a_port_that_cannot_be_is_the_callers_mistake(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"70000.*65535\. Give"):
        make_server(Store.open(str(root)), port=70000)


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("", "site/index.html"),
        ("/", "site/index.html"),
        ("//", "site/index.html"),
        ("/a/", "site/a/index.html"),
        ("/a%20b.html", "site/a b.html"),
        ("/..", "site/index.html"),
        ("/../../etc/passwd", "site/etc/passwd"),
        ("/%2e%2e/%2e%2e/etc/passwd", "site/etc/passwd"),
        ("/..\\..\\etc\\passwd", "site/etc/passwd"),
        ("//etc/passwd", "site/etc/passwd"),
        ("/a/../../b", "site/b"),
    ],
)
def test_addresses_become_paths_below_site(address: str, path: str) -> None:
    assert site_path(address) == path


PIECES = st.sampled_from(["..", ".", "/", "\\", "%2e", "%2f", "%5c", "%252e", "a", "?", "#", "//", ":", "C:", "%00"])


@given(st.lists(PIECES | st.text(max_size=3), max_size=12).map("".join))
def test_no_address_leaves_site(address: str) -> None:
    path = site_path(address)
    assert path.startswith("site/")
    assert ".." not in path.replace("\\", "/").split("/")
    assert posixpath.normpath(path) == path


@pytest.mark.parametrize(
    ("host", "status"),
    [
        (None, 200),
        ("127.0.0.1:8000", 200),
        ("localhost:8000", 200),
        ("LOCALHOST", 200),
        ("[::1]:8000", 200),
        ("evil.example", 403),
        ("evil.example:8000", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example:80", 403),
    ],
)
def test_a_request_under_another_name_is_refused(root: Path, host: str | None, status: int) -> None:
    with serving(root) as ask:
        assert ask("/index.html", host=host)[0] == status


def test_long_text_is_packed_for_browsers_that_take_it_and_pictures_never_are(root: Path) -> None:
    text = b"<p>channel</p>" * 1000
    Store.open(str(root)).write("site/long.html", text)
    Store.open(str(root)).write("site/long.png", text)
    with serving(root) as ask:
        _, headers, body = ask("/long.html", accept="br;q=1.0, gzip;q=0.8")
        assert headers["Content-Encoding"] == "gzip"
        assert int(headers["Content-Length"]) == len(body) < len(text) / 10
        assert gzip.decompress(body) == text
        for address, accept in [
            ("/long.html", "br"),
            ("/long.html", "gzip; q=0"),
            ("/long.html", ""),
            ("/long.png", "gzip"),
            ("/", "gzip"),
        ]:
            _, headers, body = ask(address, accept=accept)
            assert "Content-Encoding" not in headers
        assert ask("/long.html")[2] == text


def test_without_a_port_the_first_free_one_of_a_fixed_row_is_taken(root: Path) -> None:
    store = Store.open(str(root))
    with make_server(store, port=None) as first, make_server(store, port=None) as second:
        ports = [server.server_address[1] for server in (first, second)]
        assert PORT <= ports[0] < ports[1] < PORT + PORTS_TRIED
