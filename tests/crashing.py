"""Work on a root that fails at one chosen step of the filesystem: with an error, or by the end of its process.

    crashing = Crashing(forking, folder, "run")
    steps = crashing.work(root, overrides).steps               # undisturbed: which steps are there?
    for step in range(1, len(steps) + 1):
        crashing.work(other, overrides, fail_at=step, how="stop")

A step is any change under the root: a folder made, a file opened to be written, written to, flushed, synced, renamed,
deleted. They are not listed by hand: Python announces most of them (audit events), so that a new step in the code is
counted too. Each piece of work is a process of its own.
"""

from __future__ import annotations

import builtins
import errno
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from forked import Forking

STOPPED = 70
"""Exit code of a process that was stopped hard at its step."""
ANNOUNCED = {"os.mkdir": 0, "os.rename": 1, "os.remove": 0, "os.rmdir": 0, "os.truncate": 0, "os.link": 1}
"""Audit events that are steps, and which of their arguments is the path."""
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a piece of work: its exit code, the steps that were counted, its output."""

    code: int
    steps: list[str]
    output: str


class Crashing:
    """Work of one kind ('commit', 'run' or 'prune'), each time in a process of its own."""

    def __init__(self, forking: Forking, folder: Path, kind: str) -> None:
        self._forking, self._steps, self._kind = forking, folder / f"{kind}-steps.json", kind

    def work(self, root: Path, overrides: Sequence[str] = (), *, fail_at: int = 0, how: str = "error") -> Ended:
        """Do the work under `root` and fail at that step, or at none for 0.

        `how`: 'error' is an error at this step alone, 'gone' at this and all later ones, 'stop' the end of the process.
        """
        self._steps.unlink(missing_ok=True)
        order = {"overrides": list(overrides), "fail_at": fail_at, "how": how}
        process = self._forking.start(
            "crashing:worked", self._kind, {**order, "root": str(root), "steps": str(self._steps)}
        )
        code = process.wait()
        steps = json.loads(self._steps.read_text()) if self._steps.exists() else []
        return Ended(code, steps, process.output)


# From here on, code of the other process.


class Steps:
    """Counts the steps under a root, and fails at one of them."""

    def __init__(self, root: str, fail_at: int, how: str) -> None:
        self.seen: list[str] = []
        self._root, self._fail_at, self._how = root, fail_at, how

    def watch(self) -> None:
        """Count from now on, until this process ends."""
        from pyarrow import fs

        from network_atlas.store import paths

        steps, sync = self, os.fsync

        class Stepping(fs.LocalFileSystem):  # Arrow's own steps are in C++, for which Python has no audit events
            def delete_file(self, path: str) -> None:
                steps.take("arrow.delete", path)
                super().delete_file(path)

        def synced(number: int) -> None:
            self.take("os.fsync", os.readlink(f"/proc/self/fd/{number}"))
            sync(number)

        os.fsync = synced
        fs.LocalFileSystem = Stepping
        paths.open = self._opened  # type: ignore[attr-defined]
        sys.addaudithook(self._heard)

    def take(self, name: str, path: object, first: Callable[[], object] = lambda: None) -> None:
        """Count one step; if it is the one, do `first` and fail."""
        if not str(path).startswith(self._root):
            return
        self.seen.append(f"{name} {str(path).removeprefix(self._root)}")
        if len(self.seen) == self._fail_at or (self._how == "gone" and 0 < self._fail_at < len(self.seen)):
            first()
            if self._how == "stop":
                os._exit(STOPPED)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # not an error that may pass, which would be retried

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in ANNOUNCED:
            self.take(event, arguments[ANNOUNCED[event]])
        elif event == "open" and isinstance(arguments[0], str) and arguments[2] & WRITING:
            self.take(event, arguments[0])

    def _opened(self, path: str, mode: str = "r") -> Any:
        file = builtins.open(path, mode)  # noqa: SIM115
        return Written(file, self) if "w" in mode else file


class Written:
    """A file whose writes are steps; one that fails has written half."""

    def __init__(self, file: IO[bytes], steps: Steps) -> None:
        self._file, self._steps = file, steps

    def write(self, data: bytes) -> int:
        self._steps.take("write", self._file.name, lambda: self._half(data))
        return self._file.write(data)

    def _half(self, data: bytes) -> None:
        self._file.write(data[: len(data) // 2])
        self._file.flush()

    def flush(self) -> None:
        self._steps.take("flush", self._file.name)
        self._file.flush()

    def fileno(self) -> int:
        return self._file.fileno()

    def __enter__(self) -> Written:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()


def commit_some(root: str) -> None:
    """Commit three tasks, fold their receipts, publish a snapshot: each kind of commit there is."""
    import pyarrow as pa

    from network_atlas.store.manifest import Manifest, publish
    from network_atlas.store.receipts import Receipt, commit, fold
    from network_atlas.store.root import Store
    from network_atlas.store.shards import put_shard

    store, schema = Store.open(root), pa.schema([("key", pa.string())])
    files = []
    for name in ("a", "b", "c"):
        files.append(put_shard(store, "visualizations", [{"key": name}], schema))
        commit(store, Receipt(stage="optimize", task=name, keys=(name,), files=(files[-1],), seconds=1.0))
    fold(store, "optimize", at_least=2)
    publish(store, Manifest(created="now", version="1", config={}, upstream={}, files=tuple(files)))


def prune_to_one(root: str) -> None:
    """Remove all snapshots but the newest one."""
    from network_atlas.store.prune import plan_prune, prune
    from network_atlas.store.root import Store

    store = Store.open(root)
    prune(store, plan_prune(store, keep=1))


def worked(kind: str, order: dict[str, Any]) -> int:
    """Do a piece of work, and return the exit code."""
    steps = Steps(order["root"], order["fail_at"], order["how"])
    steps.watch()
    try:
        if kind == "commit":
            commit_some(order["root"])
            return 0
        if kind == "prune":
            prune_to_one(order["root"])
            return 0
        from network_atlas.cli.main import main

        return main(["run", *order["overrides"], f"store.root={order['root']}"])
    except Exception as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    finally:
        Path(order["steps"]).write_text(json.dumps(steps.seen))
