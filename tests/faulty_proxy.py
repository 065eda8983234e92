"""A proxy on loopback that passes HTTP requests on to a server and lets some of them fail, as networks and servers do.

    with FaultyProxy(upstream_port) as proxy:
        proxy.spoil(0.2, "500", "reset", seed=1)
        ...  # talk to 127.0.0.1:proxy.port
        proxy.requests  # every request, and how it ended

Which request is spoiled, and how, is drawn from `seed` in the order in which requests come.
"""

from __future__ import annotations

import http.client
import random
import socket
import struct
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Literal

Fault = Literal["500", "503", "reset", "lost", "cut", "slow"]
FAULTS: tuple[Fault, ...] = ("500", "503", "reset", "lost", "cut", "slow")
"""'reset' drops the connection before the server gets the request, 'lost' after the server has carried it out, 'cut'
in the middle of the answer; 'slow' answers late."""
CODES = {"500": "InternalError", "503": "SlowDown"}


@dataclass
class FaultyProxy:
    """Passes requests on to `upstream`, a port of this machine; spoils none until `spoil` is called."""

    upstream: int
    share: float = 0.0
    faults: Sequence[Fault] = FAULTS
    slow_seconds: float = 0.3
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    """(method, path with query, fault or '') of every request, in order."""

    def __post_init__(self) -> None:
        self._random = random.Random(0)
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def spoil(self, share: float, *faults: Fault, seed: int = 0, slow_seconds: float = 0.3) -> None:
        """Spoil a share of the requests from now on, by some faults (all where none is named)."""
        with self._lock:
            self.share, self.faults, self.slow_seconds = share, faults or FAULTS, slow_seconds
            self._random = random.Random(seed)

    def draw(self, method: str, path: str) -> Fault | None:
        """Return the fault of the next request ('' for none), and note it."""
        with self._lock:
            fault = self._random.choice(self.faults) if self._random.random() < self.share else None
            self.requests.append((method, path, fault or ""))
        return fault

    def __enter__(self) -> FaultyProxy:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    proxy: FaultyProxy
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that hang up are the purpose."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def _pass_on(self) -> None:
        body = self._body()
        proxy = self.server.proxy
        fault = proxy.draw(self.command, self.path)
        if fault in CODES:
            return self._refuse(int(fault), CODES[fault])
        if fault == "reset":
            return self._reset()
        if fault == "slow":
            time.sleep(proxy.slow_seconds)
        connection = http.client.HTTPConnection("127.0.0.1", proxy.upstream, timeout=60)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("connection", "expect", "transfer-encoding", "content-length"):
                    connection.putheader(name, value)
            if body or self.command in ("PUT", "POST"):
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body or None)
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        if fault == "lost":
            return self._reset()
        return self._answer(answer, data, cut=fault == "cut")

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass_on

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers
        return b"".join(parts)

    def _refuse(self, status: int, code: str) -> None:
        text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>injected</Message></Error>".encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def _reset(self) -> None:
        # Without lingering, closing sends RST.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def _answer(self, answer: http.client.HTTPResponse, data: bytes, *, cut: bool) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                self.send_header(name, value)
        # The answer to HEAD tells the size of what it does not send.
        size = answer.getheader("Content-Length", "0") if self.command == "HEAD" else str(len(data))
        self.send_header("Content-Length", size)
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if cut else data)
        if cut:
            self.wfile.flush()
            self._reset()

    def log_message(self, *_: object) -> None:
        """Say nothing."""
