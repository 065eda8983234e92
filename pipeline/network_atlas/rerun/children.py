"""Run `atlas` commands as processes of their own: a crash, a lack of memory or a signal ends the child alone."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

LINES_KEPT = 40
GRACE_SECONDS = 120.0
"""A child that was told to stop is killed after this time; a run gives its workers `executor.grace_seconds`."""
PREFIX = "atlas: "
"""Begins the message of an error (`cli/main.py`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Codes:
    """The exit codes of commands that are told apart here (`cli/exit_codes.py`)."""

    done: int
    incomplete: int
    stopped: int
    drifted: int | None
    """Of a diff with a change over its threshold; None if there is no such command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended: its exit code (a negative signal if it was killed) and the last lines of its messages."""

    code: int
    messages: tuple[str, ...]

    @property
    def error(self) -> str:
        """Return the error that the command printed, or else what is known of its end."""
        starts = [number for number, line in enumerate(self.messages) if line.startswith(PREFIX)]
        if starts:
            return "\n".join(self.messages[starts[-1] :]).removeprefix(PREFIX)
        if self.code < 0:
            return f"it was killed by signal {-self.code} ({signal.Signals(-self.code).name})"
        return "\n".join(self.messages[-3:]) or f"it ended with code {self.code}, and no message"


def atlas(*arguments: str) -> Ended:
    """Run a command of this package and return how it ended. Its messages are passed on to stderr.

    If this process is interrupted, the child is told to stop, and waited for.
    """
    command = [sys.executable, "-m", "network_atlas", *arguments]
    messages: deque[str] = deque(maxlen=LINES_KEPT)
    # In a group of its own: Ctrl-C in a terminal would reach it too, and it would be signalled twice.
    with (
        subprocess.Popen(  # noqa: S603 - our own package
            command,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as child,
        _stopped_with_us(child),
    ):
        assert child.stderr is not None
        for line in child.stderr:
            messages.append(line.rstrip("\n"))
            print(line, end="", file=sys.stderr, flush=True)  # noqa: T201
        code = child.wait()
    return Ended(code=code, messages=tuple(messages))


@contextlib.contextmanager
def _stopped_with_us(child: subprocess.Popen[str]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        child.terminate()
        try:
            child.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
        raise
