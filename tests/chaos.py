"""Kill parts of a real run at random, on a real Ray cluster, and compare the tables with an undisturbed run's.

    with Chaos(folder) as chaos:
        report = chaos.disturbed(seed=7)
        assert report.ok, report

A seed decides a schedule: which kills, and after how many receipts of the run each of them comes. A kill hits a
worker process, a node (another joins the cluster in its place), or the driver, whose command is then given again.
Each is a SIGKILL of real processes on this machine.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conftest import INLINE, TINY, write_images
from forked import Forked, Forking
from processes import ray_hosts
from snapshots import Snapshot, differences, partial_files, snapshot

KINDS = ("worker", "node", "driver")
KILLS = (2, 4)
"""Fewest and most kills of a schedule."""
RECEIPTS = 40
"""All kills come before this number of receipts; an undisturbed run writes some more."""
SLOW_TASKS = ("optimize.steps=15", "sweep.block=2")
"""Tasks long enough that a kill mostly meets one at work."""
NODES = 2
RUN_SECONDS = 200.0


@dataclass(frozen=True, slots=True)
class Kill:
    """A kill: its target, and its moment: a number of seconds after a number of receipts were there."""

    kind: str
    receipts: int
    seconds: float


def schedule(seed: int) -> list[Kill]:
    """Return the kills that a seed stands for, in order."""
    chance = random.Random(seed)
    count = chance.randint(*KILLS)
    moments = sorted(chance.randrange(RECEIPTS) for _ in range(count))
    return [Kill(chance.choice(KINDS), receipts, chance.uniform(0, 0.5 if receipts else 10)) for receipts in moments]


@dataclass(frozen=True, slots=True)
class Report:
    """The result of one schedule."""

    seed: int
    kills: Counter[str]
    lost: int
    double: int
    faults: tuple[str, ...]
    """Tables that differ from the undisturbed run's, torn files, failures."""
    seconds: float

    @property
    def ok(self) -> bool:
        return not (self.lost or self.double or self.faults)

    def __str__(self) -> str:
        kills = "  ".join(f"{kind} {self.kills[kind]}" for kind in KINDS)
        tables = "the same" if not self.faults else "; ".join(self.faults)
        return (
            f"seed {self.seed:<6} killed: {kills}   lost {self.lost}  double {self.double}  "
            f"tables: {tables}  {self.seconds:.1f} s"
        )


class Driver:
    """`atlas run` as a process of its own."""

    def __init__(self, process: Forked) -> None:
        self._process = process

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        self._process.kill()

    def finish(self) -> None:
        """Wait for its end; raise with its output where it fails or takes too long."""
        code = self._process.wait(timeout=RUN_SECONDS)
        assert code == 0, f"exit code {code}:\n{self._process.output[-4000:]}"


class Nodes:
    """A Ray cluster on this machine: a head without processors, and nodes with one each."""

    def __init__(self, count: int = NODES) -> None:
        from ray.cluster_utils import Cluster

        self.mark = uuid.uuid4().hex
        os.environ["ATLAS_TEST_MARK"] = self.mark  # every process of the cluster inherits it
        self._cluster = Cluster(initialize_head=True, head_node_args={**_place(), "num_cpus": 0})
        self._count = count
        self.complete()

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    def complete(self) -> None:
        """Add nodes until the cluster has its full number."""
        while len(self._cluster.worker_nodes) < self._count:
            self._cluster.add_node(**_place(), num_cpus=1)

    def kill_node(self, chance: random.Random) -> bool:
        """Kill all processes of a node, then add another node."""
        nodes = sorted(self._cluster.worker_nodes, key=lambda node: node.unique_id)
        self._cluster.remove_node(chance.choice(nodes), allow_graceful=False)
        self.complete()
        return True

    def kill_worker(self, chance: random.Random) -> bool:
        """Kill a process that holds a worker of the run; say whether there was one."""
        workers = sorted(self.workers())
        if workers:
            os.kill(chance.choice(workers), signal.SIGKILL)
        return bool(workers)

    def workers(self) -> list[int]:
        """Return the ids of the cluster's processes that hold a worker of the run."""
        return ray_hosts(self.mark)

    def close(self) -> None:
        self._cluster.shutdown()


def _place() -> dict[str, Any]:
    return {"include_dashboard": False, "object_store_memory": 100_000_000}


class Chaos:
    """A cluster, a folder for atlases, and the undisturbed one to compare with."""

    def __init__(self, folder: Path, overrides: Sequence[str] = (), forking: Forking | None = None) -> None:
        self._folder = folder
        self._overrides = overrides
        self._forking = forking
        (folder / "images").mkdir(parents=True)
        self._images = write_images(folder / "images")

    def __enter__(self) -> Chaos:
        with contextlib.ExitStack() as stack:
            self._nodes = Nodes()
            stack.callback(self._nodes.close)
            if self._forking is None:
                (self._folder / "forked").mkdir()
                self._forking = stack.enter_context(Forking(self._folder / "forked"))
            self.whole = self._undisturbed()
            self._cleanup = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._cleanup.close()

    def disturbed(self, seed: int) -> Report:
        """Make the atlas while the kills of `seed` come, and report the differences."""
        began, kills = time.monotonic(), Counter[str]()
        chance, root = random.Random(-1 - seed), self._folder / f"seed-{seed}"
        driver = self._start(root)
        try:
            for kill in schedule(seed):
                _wait_for(root, kill.receipts, driver)
                time.sleep(kill.seconds)
                if kill.kind == "driver":
                    driver.kill()
                    driver = self._start(root)
                    kills["driver"] += 1
                else:
                    kills[kill.kind] += self._kill(kill.kind, driver, chance)
            driver.finish()
        finally:
            driver.kill()
        report = self._report(seed, root, kills, time.monotonic() - began)
        if report.ok:
            shutil.rmtree(root)
        return report

    def _kill(self, kind: str, driver: Driver, chance: random.Random) -> bool:
        if kind == "node":
            return self._nodes.kill_node(chance)
        while driver.running and not self._nodes.workers():  # hosts killed before may not have been replaced yet
            time.sleep(0.01)
        return self._nodes.kill_worker(chance)

    def _start(self, root: Path, executor: Sequence[str] | None = None) -> Driver:
        assert self._forking is not None
        overrides = [f'dataset.root="{self._images}"', "dataset.label=name", f'store.root="{root}"', *SLOW_TASKS]
        ray = ["executor=ray", f"executor.address={self._nodes.address}", f"executor.workers={NODES}"]
        return Driver(self._forking.atlas("run", *TINY, *overrides, *(executor or ray), *self._overrides))

    def _undisturbed(self) -> Snapshot:
        """Make the atlas without Ray and without kills: a third of the time, and Ray itself is compared with it too."""
        root = self._folder / "undisturbed"
        self._start(root, INLINE).finish()
        return snapshot(root)

    def _report(self, seed: int, root: Path, kills: Counter[str], seconds: float) -> Report:
        remade = snapshot(root)
        faults = [f"{name} differs" for name in differences(remade, self.whole)] + partial_files(root)
        faults += [f"failures/{path.name}" for path in (root / "failures").glob("*/*")]
        return Report(seed, kills, remade.lost(self.whole), remade.double, tuple(faults), seconds)


def _receipts(root: Path) -> int:
    return sum(1 for _ in (root / "receipts").rglob("*.json"))


def _wait_for(root: Path, receipts: int, driver: Driver) -> None:
    """Wait until this number of receipts are there, or the driver has ended."""
    end = time.monotonic() + RUN_SECONDS
    while driver.running and _receipts(root) < receipts:
        assert time.monotonic() < end, f"no {receipts} receipts under {root} in {RUN_SECONDS:.0f} s"
        time.sleep(0.01)
