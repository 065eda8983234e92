"""Processes that start in hundredths of a second: forked from one that has loaded everything.

    with Forking(folder) as forking:
        run = forking.atlas("run", "model=...", "store.root=...")
        run.send_signal(signal.SIGTERM)
        assert run.wait() == 75, run.output

A process of its own loads torch, numba and the package for several seconds before it does anything. Where the start is
not what a test is about, the process is forked from a server that has loaded them and does no work itself. It has
its own number, environment and output, can be killed, and does not outlive the tests' own process.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from processes import PYTHON_PATH, without_fsync


@dataclass(frozen=True, slots=True)
class Forked:
    """One process."""

    pid: int
    _output: Path
    _end: Path

    @property
    def output(self) -> str:
        """What it has printed so far, to stdout and stderr."""
        return self._output.read_text(errors="replace")

    def poll(self) -> int | None:
        """Return the exit code, the negative number of the signal that ended it, or None while it lives."""
        try:
            return int(self._end.read_text())
        except FileNotFoundError:
            return None

    def wait(self, timeout: float = 240) -> int:
        """Wait for its end and return the exit code; it is killed where it takes longer than `timeout` seconds."""
        end = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > end:
                self.kill()
                raise AssertionError(f"no end in {timeout} s: {self.output}")
            time.sleep(0.005)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it if it lives, and wait for its end."""
        self.send_signal(signal.SIGKILL)
        self.wait(timeout=30)


class Forking:
    """The server that processes are forked from."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._count = folder, 0

    def __enter__(self) -> Forking:
        self._server = subprocess.Popen(
            [sys.executable, __file__],
            env=os.environ | {"PYTHONPATH": PYTHON_PATH},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.kill()
        self._server.communicate()

    def atlas(self, *arguments: str, environment: Mapping[str, str] | None = None) -> Forked:
        """Start the command `atlas` with these arguments, and more variables in its environment."""
        return self.start("network_atlas.cli.main:main", list(arguments), environment=environment)

    def start(self, function: str, *arguments: Any, environment: Mapping[str, str] | None = None) -> Forked:
        """Call 'module:function' with arguments that JSON can hold; what it returns is the exit code."""
        self._count += 1
        output, end = self._folder / f"{self._count}.log", self._folder / f"{self._count}.end"
        paths = {"output": str(output), "end": str(end)}
        order = {"function": function, "arguments": arguments, "environment": {**(environment or {})}, **paths}
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        print(json.dumps(order), file=self._server.stdin, flush=True)
        return Forked(int(self._server.stdout.readline()), output, end)


# What follows runs in the server and in the processes that it forks.


def _load() -> None:
    """Import what runs import sooner or later."""
    with contextlib.suppress(ImportError):
        import pandas  # noqa: F401 - which pyarrow imports for its first table, where it is installed
    from numba.core.registry import cpu_target

    import network_atlas.assemble.worker
    import network_atlas.calibrate.worker
    import network_atlas.cli.commands.run
    import network_atlas.config.compose
    import network_atlas.optimize.worker
    import network_atlas.scan.worker
    import network_atlas.site.worker
    import network_atlas.store.manifest
    import network_atlas.store.receipts  # noqa: F401

    cpu_target.typing_context.refresh()  # numba's rules of all types, which the first compiled function would load
    cpu_target.target_context.refresh()
    without_fsync()
    gc.freeze()  # a collection in a forked process would copy all that was loaded here


def _serve() -> None:
    """Fork for each order that comes in, answer with the number of the process, and write down how each ends."""
    ends: dict[int, Path] = {}

    def note(*_: object) -> None:
        while ends and (ended := os.waitpid(-1, os.WNOHANG))[0]:
            end = ends.pop(ended[0])
            end.with_suffix(".new").write_text(str(os.waitstatus_to_exitcode(ended[1])))
            end.with_suffix(".new").rename(end)

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the tests, which end this
    signal.signal(signal.SIGCHLD, note)
    _load()
    for line in sys.stdin:
        order = json.loads(line)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        child = os.fork()
        if not child:
            _work(order)
        ends[child] = Path(order["end"])
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()


def _work(order: dict[str, Any]) -> NoReturn:
    """Do what the order says, and end this process."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
    nothing, log = os.open(os.devnull, os.O_RDONLY), os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for file, number in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(file, number)
    os.environ.update(order["environment"])
    module, name = order["function"].split(":")
    code = 1
    try:
        code = getattr(importlib.import_module(module), name)(*order["arguments"])
    except BaseException:
        traceback.print_exc()
    finally:
        # As Python ends, but without freeing the memory: all of it is the server's, and would be copied first.
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
