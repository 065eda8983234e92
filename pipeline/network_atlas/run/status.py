"""The progress of an atlas, read from its store alone: from any machine, also during a run.

Counts committed results. Only for tables and pages, which are few, are the files checked too; `atlas plan` and
`atlas run` check all files. So the status of a root with a hundred thousand receipts takes at most two seconds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from network_atlas.errors import StoreError
from network_atlas.plan.stages import STAGES
from network_atlas.run.pace import Commit, items_per_second
from network_atlas.store.lease import lease_files, read_lease
from network_atlas.store.manifest import latest
from network_atlas.store.paths import DERIVED
from network_atlas.store.receipts import Receipt, is_whole, read_receipts
from network_atlas.store.results import ITEMS_FILE, read_run_file
from network_atlas.store.root import Store
from network_atlas.store.shards import read_rows, read_table


@dataclass(frozen=True, slots=True, kw_only=True)
class StageStatus:
    """One stage: items done, items in all, and tasks that failed and have not succeeded since."""

    name: str
    unit: str
    done: int
    total: int
    failures: tuple[str, ...] = ()
    per_second: float | None = None
    """Items per second of all workers together, in the last stretch of work."""
    last: float | None = None
    """Time of the last commit, in seconds since 1970."""

    @property
    def seconds_left(self) -> float | None:
        """Return the seconds that the rest takes at the present rate; None if there is no rate."""
        remaining = self.total - self.done
        return remaining / self.per_second if remaining and self.per_second else (None if remaining else 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A run that works on the root; times in seconds since 1970."""

    host: str
    pid: int
    run: str
    since: float
    heartbeat: float
    processes: str
    pid_started: float | None
    """`processes` and `pid_started` are for `network_atlas.store.lease.is_gone`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The facts that `atlas status` prints."""

    root: str
    model: str
    dataset: str
    examples: int
    stages: tuple[StageStatus, ...]
    unreadable: tuple[tuple[str, str], ...]
    """Images that could not be read: (example_id, reason)."""
    holders: tuple[Holder, ...]
    """The runs that work on the root, latest heartbeat first; several if each does a share of the sweep."""
    snapshot: int | None
    created: str | None

    @property
    def holder(self) -> Holder | None:
        """Return the run with the latest heartbeat."""
        return self.holders[0] if self.holders else None


def read_status(root: str) -> Status:
    """Return the status of the atlas under `root`. Raises StoreError if there is none."""
    store = Store.open(root)
    record = read_run_file(store)
    if record is None:
        raise StoreError(f"{root!r} holds no atlas; make one with: atlas run store.root={root}")
    manifest = latest(store)
    config = record["config"]
    return Status(
        root=root,
        model=config["model"]["name"],
        dataset=" ".join(part for part in (config["dataset"]["source"], config["dataset"]["root"]) if part),
        examples=record["examples"],
        stages=_stages(store, set(record["layers"])),
        unreadable=_unreadable(store),
        holders=read_holders(store),
        snapshot=manifest.number if manifest else None,
        created=manifest.created if manifest else None,
    )


def read_holders(store: Store) -> tuple[Holder, ...]:
    """Return the runs whose leases say that they work on the root."""
    leases = [lease for path in lease_files(store) if (lease := read_lease(store, path))]
    return tuple(map(_holder, sorted(leases, key=lambda lease: -float(lease["heartbeat"]))))


def _holder(raw: dict[str, Any]) -> Holder:
    return Holder(
        host=str(raw["host"]),
        pid=int(raw["pid"]),
        run=str(raw["run"]),
        since=float(raw["since"]),
        heartbeat=float(raw["heartbeat"]),
        processes=str(raw["processes"]),
        pid_started=raw["pid_started"],
    )


def _stages(store: Store, layers: set[str]) -> tuple[StageStatus, ...]:
    planned = _planned_keys(store)
    sizes = {path: size for folder in DERIVED for path, size in store.sizes(folder).items()}
    rare = {"layout", "prior", "attribute"} - planned.keys()  # few runs make maps, fit models or attribute
    by_key = [stage for stage in ("scan", "layout", "prior", "optimize", "calibrate", "attribute") if stage not in rare]
    queries = [
        *(partial(_counted, store, stage, planned.get(stage, set())) for stage in by_key),
        *(partial(_layered, store, stage, layers, sizes) for stage in ("assemble", "site")),
    ]
    with ThreadPoolExecutor(1 if store.is_local else len(queries)) as pool:  # an object store takes its time to answer
        return tuple(pool.map(lambda query: query(), queries))


def _planned_keys(store: Store) -> dict[str, set[str]]:
    items = read_table(store, ITEMS_FILE, columns=["stage", "key"])
    planned: dict[str, set[str]] = {}
    for stage, key in zip(items["stage"].to_pylist(), items["key"].to_pylist(), strict=True):
        planned.setdefault(stage, set()).add(key)
    return planned


def _counted(store: Store, stage: str, planned: set[str]) -> StageStatus:
    receipts = read_receipts(store, stage)
    done = planned & {key for receipt in receipts for key in receipt.keys}
    return _stage(
        store, stage, receipts, done, total=len(planned), of=lambda receipt: sum(key in done for key in receipt.keys)
    )


def _layered(store: Store, stage: str, layers: set[str], sizes: Mapping[str, int]) -> StageStatus:
    receipts = [receipt for receipt in read_receipts(store, stage) if is_whole(receipt, sizes)]
    done = {receipt.task for receipt in receipts} & layers
    return _stage(store, stage, receipts, done, total=len(layers), of=lambda receipt: int(receipt.task in done))


def _stage(
    store: Store,
    stage: str,
    receipts: Collection[Receipt],
    done: Collection[str],
    *,
    total: int,
    of: Callable[[Receipt], int],
) -> StageStatus:
    """Return a stage's status; `of` gives the number of planned items that a receipt made."""
    newest_first = sorted(receipts, key=lambda receipt: receipt.finished, reverse=True)
    return StageStatus(
        name=stage,
        unit=STAGES[stage].results,
        done=min(len(done), total),
        total=total,
        failures=_failures(store, stage, receipts),
        per_second=items_per_second(Commit(receipt.finished, receipt.seconds, of(receipt)) for receipt in newest_first),
        last=next((receipt.finished for receipt in newest_first if of(receipt)), None),
    )


def _failures(store: Store, stage: str, receipts: Collection[Receipt]) -> tuple[str, ...]:
    """Return 'task: error' for each failure whose task has no receipt."""
    tasks = {path.rsplit("/", 1)[-1].removesuffix(".json"): path for path in store.list(f"failures/{stage}")}
    committed = {receipt.task for receipt in receipts} if tasks else set()
    return tuple(f"{task[:12]}: {_error(store, path)}" for task, path in tasks.items() if task not in committed)


def _error(store: Store, path: str) -> str:
    try:
        record = json.loads(store.read(path))
        return " ".join([*(f"[{unit}]" for unit in record["units"][:3]), str(record["error"])])
    except (ValueError, TypeError, KeyError):
        return f"{path} is damaged"


def _unreadable(store: Store) -> tuple[tuple[str, str], ...]:
    rows = [row for path in store.list("failures/images") for row in read_rows(store, path)]
    return tuple(sorted({(str(row["example_id"]), str(row["reason"])) for row in rows}))
