"""Find the pictures of the newest snapshot that a run's own may start from."""

from __future__ import annotations

from typing import Any, cast

from network_atlas.config.schema import RunConfig
from network_atlas.plan.plan import Plan
from network_atlas.plan.warm_starts import Earlier, Subject, with_warm_starts
from network_atlas.store.columns import read_columns
from network_atlas.store.manifest import Manifest, latest
from network_atlas.store.paths import TABLES
from network_atlas.store.receipts import receipts_by_key
from network_atlas.store.results import whole_receipts
from network_atlas.store.root import Store
from network_atlas.store.shards import read_row_groups

COLUMNS = ("layer", "unit", "variant", "key", "started_from")


def with_earlier_pictures(plan: Plan, store: Store, config: RunConfig) -> Plan:
    """Return the plan with warm starts, where a recipe asks for them and the root has a snapshot."""
    if not any(config.recipe(name).warm_steps for name in plan.dtypes):
        return plan
    manifest = latest(store)
    if manifest is None:
        return plan
    # The files that a snapshot lists may hold further pictures, of earlier weights: its tables say which are its own.
    done = receipts_by_key(whole_receipts(store, "optimize"))
    statuses = _statuses(store, manifest)
    earlier: dict[Subject, Earlier] = {}
    for file in manifest.under("visualizations"):
        columns = read_columns(store, file.path, COLUMNS)
        for layer, unit, variant, key, started_from in zip(*(columns[name] for name in COLUMNS), strict=True):
            if key in statuses and key in done:
                is_good = statuses[key] == "ok"
                earlier[layer, unit, variant] = Earlier(key=key, started_from=started_from or "", is_good=is_good)
    return with_warm_starts(plan, earlier, done, config)


def _statuses(store: Store, manifest: Manifest) -> dict[str, str]:
    """Return the status of each of the snapshot's pictures, by key."""
    leaves = [f"visualizations.list.element.{name}" for name in ("key", "picture_status")]
    return {
        picture["key"]: picture["picture_status"]
        for file in manifest.under(f"{TABLES}/atlas")
        for rows in read_row_groups(store, file.path, leaves)
        for row in rows
        for picture in cast(list[dict[str, Any]], row["visualizations"] or [])
    }
