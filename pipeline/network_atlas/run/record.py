"""The record that a run writes before it starts: everything it is about to make. `atlas status` compares with it."""

from __future__ import annotations

import json
import os
import platform
import socket
from collections.abc import Mapping
from dataclasses import asdict

import network_atlas
from network_atlas.config.determines import fixed_settings
from network_atlas.config.plain import to_plain
from network_atlas.config.priors import TRAINED
from network_atlas.fingerprints import fingerprint
from network_atlas.models.device import processor_features
from network_atlas.models.first_pass import BATCH
from network_atlas.models.receptive_field import FIELD_ALGORITHM
from network_atlas.plan.calibration import calibration_keys
from network_atlas.plan.contents import LayerPlan
from network_atlas.plan.plan import Plan
from network_atlas.run.log import versions
from network_atlas.run.prepare import Prepared
from network_atlas.run.speeds import threads_of
from network_atlas.store import schemas
from network_atlas.store.results import ITEMS_FILE, LAYERS_FILE, RUN_FILE, read_run_file
from network_atlas.store.root import Store
from network_atlas.store.shards import put_table


def record_plan(prepared: Prepared) -> None:
    """Write everything that this run is about to make, so that the store alone shows how far it got."""
    store, plan = prepared.store, prepared.plan
    put_table(store, LAYERS_FILE, layer_rows(prepared), schemas.LAYERS)
    items = [row for layer in plan.layers for row in _item_rows(layer, prepared)]
    put_table(store, ITEMS_FILE, [*items, *_model_rows(plan)], schemas.ITEMS)
    record = {
        "version": network_atlas.__version__,
        "config": to_plain(prepared.config),
        "fixed": fixed_settings(prepared.config),
        "examples": len(prepared.examples),
        "layers": [layer.layer.slug for layer in plan.layers],
        "machine": machine(prepared),
        "network": (read_run_file(store) or {}).get("network", {}),
    }
    store.write(RUN_FILE, json.dumps(record, indent=1).encode())


def record_network(store: Store, stage: str, ways: Mapping[str, int]) -> None:
    """Note in the record how the network ran in a stage: tasks by the way, such as {'frozen': 12}.

    Stages in which nothing was missing keep what an earlier run noted. No result depends on it, but for rounding.
    """
    record = read_run_file(store)
    if record is not None:
        record["network"] = record.get("network", {}) | {stage: dict(ways)}
        store.write(RUN_FILE, json.dumps(record, indent=1).encode())


def about(prepared: Prepared) -> dict[str, object]:
    """Return the facts about a run that its log begins with."""
    config = prepared.config
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "version": network_atlas.__version__,
        "versions": versions(),
        "settings": fingerprint(to_plain(config)),
        "model": config.model.name,
        "executor": config.executor.name,
        "machine": machine(prepared),
        "examples": len(prepared.examples),
        "pictures": len(prepared.plan.picture_keys),
    }


def machine(prepared: Prepared) -> dict[str, object]:
    """Return facts that the last bits of results depend on, besides the settings: the driver's processor and threads.

    `models.facts.batch_difference` was measured with `batch_rows` images on this processor. It may be another on the
    workers of a cluster and on GPUs: `atlas doctor` measures it there.
    """
    return {
        "batch_rows": BATCH,
        "threads": threads_of(prepared.config),
        "processor": platform.machine(),
        "features": processor_features(),
        "batch_difference": prepared.batch_difference,
    }


def layer_rows(prepared: Prepared) -> list[dict[str, object]]:
    """Return one row per layer of the plan, with the columns of `schemas.LAYERS`."""
    layers = {layer.layer.name: layer for layer in prepared.plan.layers}
    return [_layer_row(layer) for layer in layers.values()]


def _layer_row(layer: LayerPlan) -> dict[str, object]:
    spec = layer.layer
    return {
        "layer_index": spec.index,
        "layer": spec.name,
        "type": spec.type,
        "channels": spec.channels,
        "height": spec.height,
        "width": spec.width,
        "tokens": spec.tokens,
        "receptive_field_px": spec.receptive_field_px,
        "receptive_field": asdict(spec.receptive_field) if spec.receptive_field else None,
        "receptive_field_algorithm": FIELD_ALGORITHM,
        "upstream": layer.upstream,
        "selected": len(layer.channels),
    }


def _model_rows(plan: Plan) -> list[dict[str, object]]:
    nothing = dict.fromkeys(("layer_index", "layer", "channel", "variant"))
    return [
        {**nothing, "stage": "prior", "key": model.key, "unit": model.kind}
        for model in plan.learned
        if model.source == TRAINED
    ]


def _item_rows(layer: LayerPlan, prepared: Prepared) -> list[dict[str, object]]:
    layer_columns = {"layer_index": layer.layer.index, "layer": layer.layer.name}
    scans: list[dict[str, object]] = [
        {
            "stage": "scan",
            "key": key,
            "unit": f"{span.start}..{span.stop}",
            "channel": None,
            "variant": None,
            **layer_columns,
        }
        for key, span in zip(layer.scan_keys, prepared.plan.spans, strict=True)
    ]
    maps: list[dict[str, object]] = [
        {
            "stage": "layout",
            "key": part.key,
            "unit": "map" if part is layer.layout else "directions",
            "channel": None,
            "variant": None,
            **layer_columns,
        }
        for part in layer.laid_out
    ]
    keys = calibration_keys(prepared.plan, layer)
    pictures: list[dict[str, object]] = [
        {
            "stage": stage,
            "key": key,
            "unit": picture.unit.label,
            "channel": picture.channel,
            "variant": picture.variant,
            **layer_columns,
        }
        for picture in layer.pictures
        for stage, key in (("optimize", picture.key), ("calibrate", keys[picture.key]))
    ]
    attributions: list[dict[str, object]] = [
        {
            "stage": "attribute",
            "key": key,
            "unit": f"{layer.layer.name}:{channel}",
            "channel": channel,
            "variant": None,
            **layer_columns,
        }
        for channel, key in zip(layer.channels, prepared.plan.attributions.get(layer.layer.name, ()), strict=False)
    ]
    return scans + maps + pictures + attributions
