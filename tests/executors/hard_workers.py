"""A worker for tasks that are hard on whoever runs them: one that eats memory, one whose process outlives its time."""

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
"""What a task may take beyond what its process has: the limit is the process's own, never the machine's."""
CHUNK_BYTES = 16 << 20
SCHEMA = pa.schema([("key", pa.string())])
LATE = """
import sys, time
from executors.hard_workers import commit_row
time.sleep(float(sys.argv[3]))
commit_row(sys.argv[1], sys.argv[2])
open(sys.argv[1] + "/through", "w").close()
"""


class HardWorker(ExampleWorker):
    """Does as the example worker does, and worse."""

    def run(self, task: ExampleTask) -> dict[str, object]:
        self.task = task
        return super().run(task)

    def eat_memory(self) -> None:
        before = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (address_space_bytes() + ROOM_BYTES, before[1]))
        eaten = []
        try:
            for _ in range(4 * ROOM_BYTES // CHUNK_BYTES):
                eaten.append(bytearray(CHUNK_BYTES))
        finally:
            eaten.clear()
            resource.setrlimit(resource.RLIMIT_AS, before)


class CommittingWorker(HardWorker):
    """Commits a row for each task, as the real workers do."""

    def run(self, task: ExampleTask) -> dict[str, object]:
        done = super().run(task)
        commit_row(task.folder, task.id)
        return done

    def write_late(self) -> None:
        """Die, and leave a process behind that commits the same three seconds later."""
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", LATE, self.task.folder, self.task.id, "3"]
        subprocess.Popen(command, env=environment, start_new_session=True)
        os.kill(os.getpid(), signal.SIGKILL)


def commit_row(root: str, task: str) -> None:
    """Commit what a task makes, the same whoever does it."""
    store = Store.open(f"{root}/atlas")
    file = put_shard(store, "visualizations", [{"key": task}], SCHEMA)
    commit(store, Receipt(stage="optimize", task=task, keys=(task,), files=(file,), seconds=1.0))


def address_space_bytes() -> int:
    """Return how much this process has mapped."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
