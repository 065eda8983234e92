"""Serve the pages of an atlas on this machine, from any store."""

from __future__ import annotations

import contextlib
import gzip
import posixpath
import urllib.parse
import webbrowser
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Protocol

from network_atlas.errors import ConfigError, StoreError

HOST = "127.0.0.1"
PORT = 8642
"""The first port that is tried: an address that stays the same can be kept as a bookmark."""
PORTS_TRIED = 20

CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".webp": "image/webp",
}
"""Fixed here, not taken from `mimetypes`: some machines call scripts plain text, which browsers refuse to run."""


PACKED_BETTER = (".html", ".css", ".js")
"""Text. Pictures are compressed already."""
SMALLEST_PACKED = 1_000
"""Bytes below which packing saves nothing."""


class PagesGoneError(StoreError):
    """The pages can't be made any more, since what they are made of was removed on purpose."""


class Pages(Protocol):
    """Whatever has the files below `site/`: a store, or the pages of an older snapshot."""

    def exists(self, path: str) -> bool:
        """Say whether there is a file of that name."""
        ...

    def read(self, path: str) -> bytes:
        """Return a file. Raises StoreError if it can't be read."""
        ...


def serve(store: Pages, *, port: int | None, browser: bool) -> int:
    """Serve `site/` until interrupted; return 0. Without a port, `PORT` or the next free one is taken."""
    with make_server(store, port=port) as server:
        address = f"http://{HOST}:{server.server_address[1]}/"
        print(f"{address}  (Ctrl-C ends)", flush=True)  # noqa: T201
        if browser:
            webbrowser.open(address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return 0
    return 0


def make_server(store: Pages, *, port: int | None) -> ThreadingHTTPServer:
    """Return a server that only this machine can reach.

    None takes `PORT`, or the next free one; 0 takes any free one. Raises ConfigError for a port that can't be used.
    """

    class Handler(_Handler):
        pages = store

    if port is None:
        for number in range(PORT, PORT + PORTS_TRIED):
            with contextlib.suppress(OSError):
                return ThreadingHTTPServer((HOST, number), Handler)
    try:
        return ThreadingHTTPServer((HOST, port or 0), Handler)
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"port {port} can't be used: {str(error).rstrip('.')}. Give another --port, or none for a free one."
        ) from error


class _Handler(BaseHTTPRequestHandler):
    pages: Pages

    def do_GET(self) -> None:
        with contextlib.suppress(ConnectionError):  # browsers close the connection when they no longer need a file
            self._answer(with_body=True)

    def do_HEAD(self) -> None:
        with contextlib.suppress(ConnectionError):
            self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        if not is_own_host(self.headers.get("Host", "")):
            self.send_error(
                HTTPStatus.FORBIDDEN, explain="This server answers requests to this machine's own name only."
            )
            return
        path = site_path(self.path)
        try:
            data = self.pages.read(path) if "\0" not in path and self.pages.exists(path) else None
        except PagesGoneError as error:
            self.send_error(HTTPStatus.GONE, explain=str(error))
            return
        except StoreError as error:
            self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR, explain=str(error))
            return
        if data is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        kind = posixpath.splitext(path)[1]
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", CONTENT_TYPES.get(kind, "application/octet-stream"))
        if kind in PACKED_BETTER and len(data) >= SMALLEST_PACKED and self._accepts_gzip():
            data = gzip.compress(data, compresslevel=5)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Vary", "Accept-Encoding")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Cache-Control", "no-cache")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if with_body:
            self.wfile.write(data)

    def _accepts_gzip(self) -> bool:
        words = (
            word.replace(" ", "").lower().split(";") for word in self.headers.get("Accept-Encoding", "").split(",")
        )
        weights = {name: next((one[2:] for one in more if one.startswith("q=")), "1") for name, *more in words}
        return weights.get("gzip", "0").strip("0.") != ""  # a weight of 0, as 0.000, refuses it (RFC 9110, 12.4.2)

    def log_message(
        self,
        format: str,  # noqa: A002 - the base class' name
        *args: object,
    ) -> None:
        """Stay quiet: a page view is not an event."""


def is_own_host(host: str) -> bool:
    """Say whether a request's Host header names this machine as such; one without the header does.

    Another name that leads to this address is a page of someone else's (DNS rebinding), which could read the atlas.
    """
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    return name.lower() in ("", HOST, "localhost", "[::1]")


def site_path(request: str) -> str:
    """Return the stored path that a request names. It can't leave `site/`."""
    path = urllib.parse.unquote(request.partition("#")[0].partition("?")[0])
    inside = posixpath.normpath("/" + path.replace("\\", "/")).lstrip("/")
    return f"site/{inside}" if inside and not path.endswith("/") else posixpath.join("site", inside, "index.html")
