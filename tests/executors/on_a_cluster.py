"""Programs for processes of their own: a cluster of several nodes on this machine that grows, shrinks, is stopped.

python tests/executors/on_a_cluster.py breathe     prints one JSON object
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from executors.example_workers import ExampleTask, ray_config, spec
from ray.cluster_utils import Cluster

from network_atlas.executors import open_executor
from network_atlas.executors.base import TaskDone

NODE = {"num_cpus": 1, "object_store_memory": 100_000_000}


@contextmanager
def cluster(nodes: int) -> Iterator[Cluster]:
    """A cluster with a head that has no room for workers, and so many nodes of one processor each."""
    made = Cluster(initialize_head=True, head_node_args={**NODE, "num_cpus": 0, "include_dashboard": False})
    try:
        for _ in range(nodes):
            made.add_node(**NODE)
        yield made
    finally:
        made.shutdown()


def resting(count: int) -> list[ExampleTask]:
    """Return so many tasks of half a second, which leave their marks where nobody looks."""
    folder = tempfile.mkdtemp()
    return [ExampleTask(f"t{number}", "rest", folder) for number in range(count)]


def breathe() -> dict[str, object]:
    """Begin on one node, get another, and lose it for good; say how many places there were."""
    places: list[int] = []
    done, added = 0, None
    with cluster(1) as made, open_executor(ray_config(address=made.address, workers=0)) as executor:
        for outcome in executor.run(spec(), resting(50)):
            done += isinstance(outcome, TaskDone)
            places.append(len(executor._executor._pool))  # type: ignore[attr-defined]
            if len(places) == 2:
                added = made.add_node(**NODE)
            elif len(places) == 25:
                made.remove_node(added, allow_graceful=True)
    return {"done": done, "first": places[0], "most": max(places), "last": places[-1]}


def stop() -> dict[str, object]:
    """Be told to stop when two tasks have ended; say how many ended in all, and how long after that the end came."""
    ended, told = 0, 0.0
    with cluster(1) as made, open_executor(ray_config(address=made.address, grace_seconds=5)) as executor:
        try:
            for _ in executor.run(spec(), resting(30)):
                ended += 1
                if ended == 2:
                    told = time.time()
                    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
        except KeyboardInterrupt:
            return {"ended": ended, "seconds": time.time() - told}
    return {"ended": ended, "seconds": None}


def gpus() -> dict[str, object]:
    """Run a stage that computes and one that does not where Ray counts two GPUs; say what workers see of them."""
    with cluster(0) as made:
        made.add_node(**{**NODE, "num_cpus": 4, "num_gpus": 2})
        tasks = resting(12)
        with open_executor(ray_config(address=made.address, workers=0, gpus_per_worker=0.5)) as executor:
            stages = [list(executor.run(replace(spec(), computes=computes), tasks)) for computes in (True, False)]
    seen = [sorted({str(outcome.receipt["gpus"]) for outcome in stage}) for stage in stages]  # type: ignore[union-attr,index]
    hosts = [len({outcome.receipt["pid"] for outcome in stage}) for stage in stages]  # type: ignore[union-attr,index]
    return {"seen": seen, "hosts": hosts}


if __name__ == "__main__":
    print(json.dumps({"breathe": breathe, "stop": stop, "gpus": gpus}[sys.argv[1]]()))  # noqa: T201
