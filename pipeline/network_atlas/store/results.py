"""The results in a root and the record of its last run, read from receipts and files alone.

Does not import torch, so `atlas status` answers at once.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from network_atlas.errors import CorruptShardError
from network_atlas.store.receipts import Receipt, is_whole, read_receipts, receipts_by_key
from network_atlas.store.root import Store
from network_atlas.store.touched import committed_sizes

RUN_FILE = "plan/run.json"
ITEMS_FILE = "plan/items.parquet"
LAYERS_FILE = "layers.parquet"
RESULTS = {
    "scan": ("scan", "activation_samples", "examples", "failures/images"),
    "layout": ("layouts", "cells", "directions"),
    "prior": ("priors",),
    "optimize": ("visualizations",),
    "calibrate": ("calibrations",),
    "attribute": ("attributions", "edges", "circuits"),
    "statistics": ("statistics",),
}
"""Stages whose results have keys, with the folders of their files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The finished results in a store: for each stage, key to receipt."""

    scan: dict[str, Receipt]
    layout: dict[str, Receipt]
    optimize: dict[str, Receipt]
    calibrate: dict[str, Receipt]
    statistics: dict[str, Receipt]
    prior: dict[str, Receipt] = field(default_factory=dict)
    attribute: dict[str, Receipt] = field(default_factory=dict)

    @property
    def keys(self) -> set[str]:
        return {*self.scan, *self.layout, *self.prior, *self.optimize, *self.attribute}


def what_is_done(store: Store) -> Done:
    """Return the results that have a receipt and whose files exist in their full size."""
    return Done(**{stage: receipts_by_key(whole_receipts(store, stage)) for stage in RESULTS})


def whole_receipts(store: Store, stage: str) -> list[Receipt]:
    """Return the receipts of a stage whose files exist in their full size; edited ones do not count (`store.touched`).

    Receipts are read before files are listed: in the other order, a task committed in between would seem damaged.
    """
    receipts = read_receipts(store, stage)
    folders = RESULTS[stage] if receipts else ()
    sizes = committed_sizes(store, receipts, folders)
    return [receipt for receipt in receipts if is_whole(receipt, sizes)]


def read_run_file(store: Store) -> dict[str, Any] | None:
    """Return the record of the last run, or None in a new root."""
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
