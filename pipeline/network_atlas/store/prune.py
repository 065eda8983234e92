"""Remove old snapshots, with the files that nothing else uses.

    plan = plan_prune(store, keep=5)        # looks only
    with Lease(store):
        prune(store, plan_prune(store, keep=5))

Kept are the newest snapshots, all files that they list, and all results of the last run's plan, finished or not.
Removed are the files that only older snapshots list, with their receipts; and files that no snapshot and no receipt
names, which killed writers left behind, once they are a day old. Results that receipts name but no snapshot lists are
kept: another sweep may use them.

A kill at any step harms no snapshot that is still listed. The manifest of a snapshot moves to `pruning/` before the
first of its files goes, and is deleted from there after the last; until then the next call goes on with it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from network_atlas.errors import ConfigError, StoreError
from network_atlas.store.manifest import FOLDER, Manifest, manifest_path, numbers, parse_manifest, read_manifest
from network_atlas.store.paths import EXAMPLE_IMAGES, TABLES
from network_atlas.store.receipts import Receipt, each, read_receipts, receipt_path
from network_atlas.store.results import ITEMS_FILE, RESULTS
from network_atlas.store.root import Store
from network_atlas.store.shards import read_leaves

PRUNING = "pruning"
"""Folder of the manifests of snapshots whose files are being removed."""
ORPHAN_SECONDS = 86_400.0
"""Files of no snapshot and no receipt are kept for a day: a worker that still lives may be about to name them."""
SHARD = re.compile(rf"/part-[0-9a-f]{{32}}\.parquet$|^{EXAMPLE_IMAGES}/[0-9a-f]{{32}}-\d+x\d+\.webp$")
"""The end of the path of a file that is named by its content. Others are never removed."""
ASSEMBLED = ("assemble",)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunePlan:
    """What pruning would remove."""

    kept: tuple[int, ...]
    removed: tuple[int, ...]
    """Numbers of snapshots, oldest first."""
    files: tuple[str, ...]
    """Files that only removed snapshots use."""
    orphans: tuple[str, ...]
    """Files that nothing names."""
    receipts: tuple[str, ...]
    """Receipts of the files."""
    size_bytes: int
    """Bytes of all files that are removed."""


def plan_prune(store: Store, *, keep: int) -> PrunePlan:
    """Return what would be removed if the newest `keep` snapshots stay. Changes nothing.

    Raises CorruptShardError if a manifest is damaged: its files are not known then.
    """
    if keep < 1:
        raise ConfigError(f"--keep={keep}: give the number of snapshots to keep, 1 or more.")
    there = numbers(store)
    if not there and not store.list(PRUNING):
        raise StoreError(f"{store.root!r} has no snapshot: nothing to remove. Is this the root of an atlas?")
    kept, removed = there[-keep:], there[:-keep]
    interrupted = [parse_manifest(store, path) for path in store.list(PRUNING)]
    going = [
        *(read_manifest(store, number) for number in removed),
        *(manifest for manifest in interrupted if manifest.number not in there),
    ]
    receipts = [receipt for stage in (*RESULTS, *ASSEMBLED) for receipt in read_receipts(store, stage)]
    used = _used(store, [read_manifest(store, number) for number in kept], receipts)
    files = {file.path for manifest in going for file in manifest.files if SHARD.search(file.path)} - used
    named = used | files | {file.path for receipt in receipts for file in receipt.files}
    sizes, orphans = _left_behind(store, named)
    return PrunePlan(
        kept=tuple(kept),
        removed=tuple(sorted(manifest.number for manifest in going)),
        files=tuple(sorted(files & sizes.keys())),
        orphans=orphans,
        receipts=_obsolete(receipts, files),
        size_bytes=sum(sizes.get(path, 0) for path in {*files, *orphans}),
    )


def prune(store: Store, plan: PrunePlan) -> None:
    """Remove what a plan says. The caller holds the root's lease since before the plan was made."""
    for number in plan.removed:
        path = manifest_path(number)
        data = store.read_if_there(path)
        if data is not None:
            store.write(_pruning_path(number), data)
            store.delete(path)
    # Receipts first: a result whose receipt is gone is made again, one whose file is gone has to be found out.
    each(store, store.delete, plan.receipts)
    each(store, store.delete, [*plan.files, *plan.orphans])
    for path in store.list(PRUNING):
        store.delete(path)


def _pruning_path(number: int) -> str:
    return manifest_path(number).replace(FOLDER, PRUNING, 1)


def _used(store: Store, kept: Iterable[Manifest], receipts: Iterable[Receipt]) -> set[str]:
    """Return the files of kept snapshots, of results in the last run's plan, and of the newest joined tables."""
    planned = set(read_leaves(store, ITEMS_FILE, ["key"]).column(0).to_pylist()) if store.exists(ITEMS_FILE) else set()
    files = {file.path for manifest in kept for file in manifest.files}
    for receipt in receipts:
        if receipt.stage in ASSEMBLED or not planned.isdisjoint(receipt.keys):
            files.update(file.path for file in receipt.files)
    return files


def _left_behind(store: Store, named: set[str]) -> tuple[dict[str, int], tuple[str, ...]]:
    """Return the sizes of all files of results and tables, and the old ones among them that nothing names."""
    folders = sorted({TABLES, EXAMPLE_IMAGES, *(folder for folders in RESULTS.values() for folder in folders)})
    infos = [info for folder in folders for info in store.infos(folder)]
    sizes = {info.path: info.size_bytes for info in infos}
    before = time.time() - ORPHAN_SECONDS
    orphans = [
        info.path for info in infos if info.modified < before and info.path not in named and SHARD.search(info.path)
    ]
    return sizes, tuple(sorted(orphans))


def _obsolete(receipts: Sequence[Receipt], files: set[str]) -> tuple[str, ...]:
    """Return the paths of receipts with a file that is removed. Those that are folded stay: they count as missing."""
    return tuple(
        receipt_path(receipt.stage, receipt.task)
        for receipt in receipts
        if any(file.path in files for file in receipt.files)
    )
