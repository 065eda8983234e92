"""How far an atlas is, told by its store alone: from any machine, also while a run is going."""

from __future__ import annotations

import json
from dataclasses import dataclass

from pipeline.errors import StoreError
from pipeline.prepare import read_run_file, what_is_done
from pipeline.record import ITEMS_FILE
from pipeline.store.manifest import latest
from pipeline.store.paths import DERIVED, Store
from pipeline.store.receipts import is_whole, read_receipts
from pipeline.store.shards import read_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class StageStatus:
    """One stage: items (results) done, wanted, and tasks that failed and have not been done since."""

    name: str
    unit: str
    done: int
    total: int
    failures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What `atlas status` prints."""

    root: str
    model: str
    dataset: str
    examples: int
    stages: tuple[StageStatus, ...]
    unreadable: tuple[tuple[str, str], ...]
    """Images that could not be read: (example_id, reason)."""
    snapshot: int | None
    created: str | None


def read_status(root: str) -> Status:
    """Return the status of the atlas under `root`. Raises StoreError where there is none."""
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
        snapshot=manifest.number if manifest else None,
        created=manifest.created if manifest else None,
    )


def _stages(store: Store, layers: set[str]) -> tuple[StageStatus, ...]:
    items = read_rows(store, ITEMS_FILE, columns=["stage", "key"])
    wanted = {stage: {str(row["key"]) for row in items if row["stage"] == stage} for stage in ("scan", "optimize")}
    done = what_is_done(store)

    def counted(stage: str, unit: str, keys: set[str]) -> StageStatus:
        made = len(wanted[stage] & keys)
        return StageStatus(name=stage, unit=unit, done=made, total=len(wanted[stage]), failures=_failures(store, stage))

    def layered(stage: str) -> StageStatus:
        sizes = {path: size for folder in DERIVED for path, size in store.sizes(folder).items()}
        made = {receipt.task for receipt in read_receipts(store, stage) if is_whole(receipt, sizes)} & layers
        return StageStatus(
            name=stage, unit="layers", done=len(made), total=len(layers), failures=_failures(store, stage)
        )

    return (
        counted("scan", "layer spans", set(done.scan)),
        counted("optimize", "pictures", set(done.optimize)),
        layered("assemble"),
        layered("site"),
    )


def _failures(store: Store, stage: str) -> tuple[str, ...]:
    """Return 'task: error' for each failure whose task has no receipt since."""
    committed = {receipt.task for receipt in read_receipts(store, stage)}
    tasks = {path.rsplit("/", 1)[-1].removesuffix(".json"): path for path in store.list(f"failures/{stage}")}
    return tuple(f"{task[:12]}: {_error(store, path)}" for task, path in tasks.items() if task not in committed)


def _error(store: Store, path: str) -> str:
    try:
        return str(json.loads(store.read(path))["error"])
    except (ValueError, TypeError, KeyError):
        return f"{path} is damaged"


def _unreadable(store: Store) -> tuple[tuple[str, str], ...]:
    rows = [row for path in store.list("failures/images") for row in read_rows(store, path)]
    return tuple(sorted({(str(row["example_id"]), str(row["reason"])) for row in rows}))
