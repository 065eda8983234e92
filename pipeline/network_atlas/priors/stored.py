"""Read models that earlier tasks fitted from the root."""

from __future__ import annotations

import io
from typing import Any

import torch

from network_atlas.errors import StoreError
from network_atlas.plan.contents import LearnedModel
from network_atlas.priors.fitting import State
from network_atlas.store.root import Store
from network_atlas.store.shards import read_rows


def read_state(store: Store, model: LearnedModel) -> State:
    """Return the state of a fitted model. Raises StoreError if its file does not hold it."""
    rows: list[Any] = [row for row in read_rows(store, model.stored) if row["key"] == model.key]
    if not rows:
        raise StoreError(
            f"{model.stored} under store.root={store.root!r} does not hold the {model.kind} {model.key}; delete it and "
            "run again"
        )
    state: State = torch.load(io.BytesIO(rows[0]["state"]["bytes"]), weights_only=True)
    return state
