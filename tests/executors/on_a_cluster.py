"""Run on a cluster that grows, shrinks and has GPUs, and stop a run on it. To be run as a process of its own.

python tests/executors/on_a_cluster.py     prints one JSON object: the numbers of each part
"""

from __future__ import annotations

import json
import os
import signal
import tempfile
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

from executors.example_workers import ExampleTask, ray_config, spec
from ray.cluster_utils import Cluster

from network_atlas.errors import SetupError
from network_atlas.executors import open_executor, ray_cluster
from network_atlas.executors.base import TaskDone

NODE = {"num_cpus": 1, "object_store_memory": 100_000_000}


def tasks(count: int, action: str = "rest") -> list[ExampleTask]:
    """Return `count` tasks that leave their marks in a new folder; the action 'rest' takes a fifth of a second."""
    folder = tempfile.mkdtemp()
    return [ExampleTask(f"t{number}", action, folder) for number in range(count)]


def capacity(cluster: Cluster) -> dict[str, object]:
    """Return what `atlas doctor` says of a cluster of one processor: to workers that need one, and that need 64."""
    from network_atlas.cli.machine_checks import cluster_answers

    said = []
    for cpus in (1, 64):
        config = SimpleNamespace(executor=ray_config(address=cluster.address, cpus_per_worker=cpus))
        try:
            said.append(cluster_answers(config))  # type: ignore[arg-type]
        except SetupError as error:
            said.append(str(error))
    return {"address": cluster.address, "fits": said[0], "too_much": said[1]}


def breathe(cluster: Cluster) -> dict[str, object]:
    """Begin on one node, add another, and remove it for good; return the number of seats each time."""
    places: list[int] = []
    done, added = 0, None
    with open_executor(ray_config(address=cluster.address, workers=0)) as executor:
        for outcome in executor.run(spec(), tasks(60)):
            done += isinstance(outcome, TaskDone)
            places.append(len(executor._executor._pool))  # type: ignore[attr-defined]
            if len(places) == 2:
                added = cluster.add_node(**NODE)
            elif len(places) == 25:
                cluster.remove_node(added, allow_graceful=True)
    return {"done": done, "first": places[0], "most": max(places), "last": places[-1]}


def stop(cluster: Cluster) -> dict[str, object]:
    """Ask the run to stop when two tasks have ended; return the number of ended tasks and the seconds until the end."""
    ended, asked = 0, 0.0
    with open_executor(ray_config(address=cluster.address, grace_seconds=5)) as executor:
        try:
            for _ in executor.run(spec(), tasks(30)):
                ended += 1
                if ended == 2:
                    asked = time.time()
                    threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGTERM)).start()
        except KeyboardInterrupt:
            return {"ended": ended, "seconds": time.time() - asked}
    return {"ended": ended, "seconds": None}


def gpus(cluster: Cluster) -> dict[str, object]:
    """Run a stage that computes and one that does not where two share a GPU; return the GPUs that workers see."""
    cluster.add_node(**{**NODE, "num_cpus": 2, "num_gpus": 1})
    with open_executor(ray_config(address=cluster.address, workers=0, gpus_per_worker=0.5)) as executor:
        stages = [
            list(executor.run(replace(spec(), computes=computes), tasks(2, "meet"))) for computes in (True, False)
        ]
    seen = [sorted({str(outcome.receipt["gpus"]) for outcome in stage}) for stage in stages]  # type: ignore[union-attr,index]
    hosts = [len({outcome.receipt["pid"] for outcome in stage}) for stage in stages]  # type: ignore[union-attr,index]
    return {"seen": seen, "hosts": hosts}


def main() -> None:
    ray_cluster.LOOK_SECONDS = 0.5  # tasks are short, so the cluster is looked at more often
    # The head has no processors: workers run on the other nodes.
    head = {**NODE, "num_cpus": 0, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        first = cluster.add_node(**NODE)
        seen = {"capacity": capacity(cluster), "breathe": breathe(cluster), "stop": stop(cluster)}
        cluster.remove_node(first, allow_graceful=True)
        print(json.dumps(seen | {"gpus": gpus(cluster)}))  # noqa: T201
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()
