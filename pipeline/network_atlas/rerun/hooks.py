"""Tell others what a watch did: commands that get a JSON object on standard input, and a webhook that gets it by POST.

A hook that fails is reported to the caller as text and never raises: the watch goes on.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any, Literal
from urllib.parse import urlsplit

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from network_atlas.errors import ConfigError

Event = Literal["success", "failure", "drift"]
COMMAND_SECONDS = 300.0
WEBHOOK_SECONDS = 10.0
"""Longest silence of the server, in each try."""
WEBHOOK_TRIES = 4
LONGEST_WAIT_SECONDS = 8.0
SERVER_ERRORS = 500
"""HTTP statuses from here on may pass; 429 (too many requests) too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """Commands of the shell by event, and the address of a webhook, which gets all events. '' is none."""

    success: str = ""
    failure: str = ""
    drift: str = ""
    webhook: str = ""

    def __post_init__(self) -> None:
        if self.webhook and not _is_address(self.webhook):
            raise ConfigError(f"--webhook {self.webhook!r} is no address; give https://host/path")
        if "@" in urlsplit(self.webhook).netloc:
            raise ConfigError("--webhook holds a login before '@', which is not sent; put a token into the path")

    def tell(self, event: Event, message: Mapping[str, Any]) -> Iterator[str]:
        """Run the command of an event and call the webhook; yield what went wrong."""
        data = json.dumps({**message, "event": event}).encode()
        command = {"success": self.success, "failure": self.failure, "drift": self.drift}[event]
        if command:
            yield from _run(command, data)
        if self.webhook:
            yield from _post(self.webhook, data)


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        is_whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number
        return False
    return is_whole and re.search(r"[\s\x00-\x20\x7f]", text) is None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Makes a redirection an error: urllib would follow it with a GET, and the object would be lost."""

    def redirect_request(self, *_: object) -> None:
        """Follow nothing."""


def _run(command: str, data: bytes) -> Iterator[str]:
    try:
        code, said = _ended(command, data)
    except (OSError, subprocess.TimeoutExpired) as error:
        yield f"hook {command!r}: {error}"
        return
    if code:
        yield f"hook {command!r} ended with code {code}" + (f": {said}" if said else "")


def _ended(command: str, data: bytes) -> tuple[int, str]:
    """Run a command of the shell; return its exit code, and the end of what it said.

    What takes too long is killed, with all that it started.
    """
    # Files, not pipes: what the command leaves running in the background would hold a pipe open.
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        given.write(data)
        given.seek(0)
        process = subprocess.Popen(  # noqa: S602 - the user's own command, as cron and make take it
            command, shell=True, stdin=given, stdout=out, stderr=errors, start_new_session=True
        )
        try:
            code = process.wait(COMMAND_SECONDS)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        return code, _end_of(errors) or _end_of(out)


def _end_of(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace").strip()[-500:]


def _post(address: str, data: bytes) -> Iterator[str]:
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"})  # noqa: S310 - checked above
    opener = urllib.request.build_opener(_NoRedirects)

    def once() -> None:
        try:
            opener.open(request, timeout=WEBHOOK_SECONDS).close()
        except urllib.error.HTTPError as error:
            error.close()  # it holds the connection
            raise

    retrying = Retrying(
        retry=retry_if_exception(_may_pass),
        stop=stop_after_attempt(WEBHOOK_TRIES),
        wait=wait_random_exponential(multiplier=0.5, max=LONGEST_WAIT_SECONDS),
        reraise=True,
    )
    try:
        retrying(once)
    except (OSError, ValueError, http.client.HTTPException) as error:  # URLError, HTTPError, timeouts are OSErrors
        # Without its path and query, which often hold a secret.
        yield f"webhook at {urlsplit(address).hostname}: {error}"


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, urllib.error.HTTPError):
        return error.code >= SERVER_ERRORS or error.code == 429
    return isinstance(error, OSError)
