"""Add to a plan the pictures of what was found so far: cells of maps, directions, and groups of examples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from network_atlas.config.schema import RunConfig
from network_atlas.plan.circuits import FoundCircuit, with_circuits
from network_atlas.plan.directions import Named, with_vectors
from network_atlas.plan.layouts import Place, with_cells
from network_atlas.plan.plan import Plan
from network_atlas.store.columns import read_columns
from network_atlas.store.paths import CIRCUITS
from network_atlas.store.receipts import Receipt, files_under
from network_atlas.store.root import Store
from network_atlas.store.shards import read_rows


def with_finished_maps(plan: Plan, layouts: Mapping[str, Receipt], store: Store, config: RunConfig) -> Plan:
    """Return the plan with a picture of each cell of its finished maps; `layouts` are the receipts of maps by key."""
    keys = [layer.layout.key for layer in plan.layers if layer.layout and layer.layout.key in layouts]
    return with_cells(plan, {key: _cells(store, cells_of(layouts[key])) for key in keys}, config) if keys else plan


def with_found_directions(plan: Plan, layouts: Mapping[str, Receipt], store: Store, config: RunConfig) -> Plan:
    """Return the plan with a picture of each direction that was found; `layouts` are receipts by key."""
    keys = [layer.directions.key for layer in plan.layers if layer.directions and layer.directions.key in layouts]
    return with_vectors(plan, {key: _vectors(store, directions_of(layouts[key])) for key in keys}, config)


def directions_of(receipt: Receipt) -> str:
    """Return the file with the directions of a layer."""
    return files_under([receipt], "directions")[0]


def _vectors(store: Store, path: str) -> list[Named]:
    columns = read_columns(store, path, ["name", "vector"])
    vectors = columns["vector"].values.reshape(len(columns["name"]), -1)
    return [(str(name), tuple(vector.tolist())) for name, vector in zip(columns["name"], vectors, strict=True)]


def layout_of(receipt: Receipt) -> str:
    """Return the file that says where the vectors of a layer lie on its map."""
    return files_under([receipt], "layouts")[0]


def cells_of(receipt: Receipt) -> str:
    """Return the file with the cells of a map."""
    return files_under([receipt], "cells")[0]


def _cells(store: Store, path: str) -> list[Place]:
    columns = read_columns(store, path, ["grid", "row", "column"])
    return list(zip(*(columns[name].tolist() for name in ("grid", "row", "column")), strict=True))


def with_found_circuits(plan: Plan, attributed: Mapping[str, Receipt], store: Store, config: RunConfig) -> Plan:
    """Return the plan with a picture of each group of examples that is apart; `attributed` are receipts by key."""
    receipts = [attributed[key] for keys in plan.attributions.values() for key in keys if key in attributed]
    circuits: dict[str, list[FoundCircuit]] = {}
    for path in files_under(receipts, CIRCUITS):  # few channels have any
        rows: list[dict[str, Any]] = read_rows(store, path)
        for row in rows:
            vectors = {each["parent"]: tuple(each["vector"]) for each in row["parents"]}
            circuit = FoundCircuit(number=row["group"], examples=tuple(row["examples"]), vectors=vectors)
            circuits.setdefault(row["key"], []).append(circuit)
    return with_circuits(plan, circuits, config)
