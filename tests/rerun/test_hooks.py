"""Hooks get a JSON object; one that fails is said, and never raises."""

from __future__ import annotations

import json
import os
import select
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from network_atlas.errors import ConfigError
from network_atlas.rerun import hooks as module
from network_atlas.rerun.hooks import Hooks


class Server(HTTPServer):
    """Answers with `answers`, one after the other, and keeps what it got."""

    answers: list[int]
    moved_to: str = ""
    got: list[dict[str, object]]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        self.server.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.server.answers.pop(0))
        if self.server.moved_to:
            self.send_header("Location", self.server.moved_to)
        self.end_headers()

    def do_GET(self) -> None:
        self.send_response(self.server.answers.pop(0))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(module, "LONGEST_WAIT_SECONDS", 0.01)
    with Server(("127.0.0.1", 0), Handler) as running:
        running.got = []
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_a_command_gets_the_object_on_standard_input(tmp_path: Path) -> None:
    hooks = Hooks(success=f"cat > '{tmp_path}/got.json'")
    assert list(hooks.tell("success", {"snapshot": 2})) == []
    assert list(hooks.tell("failure", {"snapshot": 2})) == []  # no command for it
    assert json.loads((tmp_path / "got.json").read_text()) == {"snapshot": 2, "event": "success"}


def test_a_command_that_fails_or_takes_too_long_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    (problem,) = Hooks(failure="echo no mail here >&2; exit 3").tell("failure", {})
    assert "ended with code 3: no mail here" in problem
    monkeypatch.setattr(module, "COMMAND_SECONDS", 0.05)
    (problem,) = Hooks(drift="exec sleep 10").tell("drift", {})
    assert "timed out" in problem


def test_what_a_command_leaves_in_the_background_is_not_waited_for(tmp_path: Path) -> None:
    """It holds the command's output open, which is not the command's end."""
    os.mkfifo(gate := tmp_path / "gate")
    hooks = Hooks(success=f"(read _ < '{gate}'; echo too late) & echo failed >&2; exit 3")
    (problem,) = hooks.tell("success", {})
    assert problem.endswith("ended with code 3: failed")
    gate.write_text("go\n")


def test_a_command_that_takes_too_long_is_killed_with_what_it_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    os.mkfifo(gate := tmp_path / "gate")
    held = os.open(gate, os.O_RDONLY | os.O_NONBLOCK)
    monkeypatch.setattr(module, "COMMAND_SECONDS", 0.3)
    (problem,) = Hooks(drift=f"sleep 1000 > '{gate}'; true").tell("drift", {})
    assert "timed out" in problem
    ready, _, _ = select.select([held], [], [], 60)
    assert ready, "a process that the command started still holds the gate"
    assert os.read(held, 1) == b""
    os.close(held)


def test_a_webhook_is_tried_again_while_its_server_is_away(server: Server) -> None:
    server.answers = [503, 429, 200]
    hooks = Hooks(webhook=f"http://127.0.0.1:{server.server_port}/secret")
    assert list(hooks.tell("drift", {"root": "atlas"})) == []
    assert server.got == [{"root": "atlas", "event": "drift"}] * 3


def test_a_webhook_that_refuses_or_stays_away_is_said_without_its_secret(server: Server) -> None:
    server.answers = [404, *[500] * 4]
    hooks = Hooks(webhook=f"http://127.0.0.1:{server.server_port}/secret")
    (problem,) = hooks.tell("success", {})
    assert "404" in problem
    assert "secret" not in problem
    (problem,) = hooks.tell("success", {})
    assert "500" in problem
    assert server.answers == []


@pytest.mark.parametrize(
    "address", ["file:///etc/passwd", "http://", "https://host:port/x", "http://host/a b", "host/x"]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="no address"):
        Hooks(webhook=address)


def test_a_login_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigError, match="login before '@'") as caught:
        Hooks(webhook="https://me:secret@host/x")
    assert "secret" not in str(caught.value)


def test_a_webhook_that_has_moved_is_said_since_the_object_did_not_arrive(server: Server) -> None:
    server.answers, server.moved_to = [301, 200], f"http://127.0.0.1:{server.server_port}/new"
    (problem,) = Hooks(webhook=f"http://127.0.0.1:{server.server_port}/secret").tell("success", {"snapshot": 2})
    assert "301" in problem
    assert "secret" not in problem
    assert len(server.got) == 1


def test_a_webhook_at_something_else_than_a_web_server_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

        def greet() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        (problem,) = Hooks(webhook=f"http://127.0.0.1:{port}/secret").tell("success", {})
        thread.join()
    assert "SSH-2.0" in problem
    assert "secret" not in problem
