"""What a root holds, read from its receipts and files alone: which results are done, and what the last run was about.

Loads no torch: `atlas status` answers at once.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from network_atlas.errors import CorruptShardError
from network_atlas.store.paths import Store
from network_atlas.store.receipts import Receipt, is_whole, read_receipts, receipts_by_key

RUN_FILE = "plan/run.json"
ITEMS_FILE = "plan/items.parquet"
LAYERS_FILE = "layers.parquet"
RESULTS = {
    "scan": ("scan", "activation_samples", "examples", "failures/images"),
    "optimize": ("visualizations",),
    "calibrate": ("calibrations",),
    "statistics": ("statistics",),
}
"""Stages whose results have keys, and the folders where their files lie."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What the store already has."""

    scan: dict[str, Receipt]
    optimize: dict[str, Receipt]
    calibrate: dict[str, Receipt]
    statistics: dict[str, Receipt]
    """Key to the receipt that holds it."""

    @property
    def keys(self) -> set[str]:
        return {*self.scan, *self.optimize}


def what_is_done(store: Store) -> Done:
    """Return the results whose receipts are there and whose files are, each in its full size."""
    return Done(**{stage: receipts_by_key(whole_receipts(store, stage)) for stage in RESULTS})


def whole_receipts(store: Store, stage: str) -> list[Receipt]:
    """Return the receipts of a stage whose files are there in their full size.

    The receipts are read first: files that a run commits meanwhile are then found.
    """
    receipts = read_receipts(store, stage)
    folders = RESULTS[stage] if receipts else ()
    sizes = {path: size for folder in folders for path, size in store.sizes(folder).items()}
    return [receipt for receipt in receipts if is_whole(receipt, sizes)]


def read_run_file(store: Store) -> dict[str, Any] | None:
    """Return what the last run wrote about itself, or None in a new root."""
    data = store.read_if_there(RUN_FILE)
    if data is None:
        return None
    try:
        raw: dict[str, Any] = json.loads(data)
        _ = (
            raw["config"]["model"]["name"],
            raw["config"]["dataset"]["source"],
            raw["examples"],
            raw["layers"],
            raw["fixed"],
        )
    except (ValueError, TypeError, KeyError) as error:
        raise CorruptShardError(
            f"{RUN_FILE} under store.root={store.root!r} is damaged: no JSON object with config, examples and layers. "
            "Delete it and run again: it is written anew, and no result is lost."
        ) from error
    return raw
