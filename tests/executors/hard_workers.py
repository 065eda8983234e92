"""A worker for two kinds of harmful tasks: one allocates too much memory, one leaves a process that commits late."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
from executors.example_workers import ExampleTask, ExampleWorker

from network_atlas.store.receipts import Receipt, commit
from network_atlas.store.root import Store
from network_atlas.store.shards import put_shard

ROOM_BYTES = 256 << 20
"""Memory that a task may take beyond that of its process: the limit is the process's own, never the machine's."""
SCHEMA = pa.schema([("key", pa.string())])
LATE = """
import sys, time
from executors.hard_workers import commit_row
time.sleep(float(sys.argv[3]))
commit_row(sys.argv[1], sys.argv[2])
open(sys.argv[1] + "/through", "w").close()
"""


class HardWorker(ExampleWorker):
    """An example worker with two more actions."""

    def run(self, task: ExampleTask) -> dict[str, object]:
        self.task = task
        return super().run(task)

    def eat_memory(self) -> None:
        """Ask for as much as the limit, in one piece: however much of its own the process has freed, it has no room."""
        before = resource.getrlimit(resource.RLIMIT_AS)
        limit = address_space_bytes() + ROOM_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, before[1]))
        try:
            bytearray(limit)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, before)


class CommittingWorker(HardWorker):
    """A worker that commits a row for each task, as the real ones do."""

    def run(self, task: ExampleTask) -> dict[str, object]:
        done = super().run(task)
        commit_row(task.folder, task.id)
        return done

    def write_late(self) -> None:
        """Die, and leave a process behind that commits the same row three seconds later."""
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", LATE, self.task.folder, self.task.id, "3"]
        subprocess.Popen(command, env=environment, start_new_session=True)
        os.kill(os.getpid(), signal.SIGKILL)


def commit_row(root: str, task: str) -> None:
    """Commit the row of a task; it is the same for every worker."""
    store = Store.open(f"{root}/atlas")
    file = put_shard(store, "visualizations", [{"key": task}], SCHEMA)
    commit(store, Receipt(stage="optimize", task=task, keys=(task,), files=(file,), seconds=1.0))


def address_space_bytes() -> int:
    """Return the bytes of memory that this process has mapped."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
