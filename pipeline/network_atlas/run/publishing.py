"""Publish the results of a run as a snapshot: exactly the files that its plan needs, and how they were made."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime

import network_atlas
from network_atlas.config.determines import recorded
from network_atlas.config.plain import to_plain
from network_atlas.layers import OUTPUT
from network_atlas.plan.calibration import calibration_keys
from network_atlas.run.inputs import scanned_files
from network_atlas.run.log import versions
from network_atlas.run.prepare import Prepared
from network_atlas.run.record import layer_rows, machine
from network_atlas.store import schemas
from network_atlas.store.manifest import Manifest, ScanGroup, publish
from network_atlas.store.paths import LAYERS_DIRECTORY
from network_atlas.store.receipts import Receipt, read_receipts
from network_atlas.store.results import Done
from network_atlas.store.shards import FileEntry, put_new_shard


def publish_snapshot(prepared: Prepared, done: Done, run: str) -> Manifest:
    """Publish the results of the plan unless the newest snapshot has the same; return the newest one."""
    plan = prepared.plan
    slugs = {layer.layer.slug for layer in plan.layers}
    # Only what this plan needs: results of other sweeps stay in the root, but are not part of the snapshot.
    receipts: list[Receipt] = [
        *(done.scan[key] for key in plan.scan_keys),
        *(done.layout[part.key] for layer in plan.layers for part in layer.laid_out if part.key in done.layout),
        *(done.prior[model.key] for model in plan.learned if model.key in done.prior),
        *(done.optimize[key] for key in plan.picture_keys if key in done.optimize),
        *_measured(prepared, done),
        *(done.attribute[key] for keys in plan.attributions.values() for key in keys if key in done.attribute),
        *(receipt for receipt in read_receipts(prepared.store, "assemble") if receipt.task in slugs),
    ]
    layers = put_new_shard(prepared.store, LAYERS_DIRECTORY, layer_rows(prepared), schemas.LAYERS)
    files: dict[str, FileEntry] = {file.path: file for receipt in receipts for file in receipt.files}
    snapshot = Manifest(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        version=network_atlas.__version__,
        config=recorded(prepared.config),
        upstream={layer.layer.name: layer.upstream for layer in plan.layers},
        files=(*files.values(), layers),
        scans=_scans(prepared, done),
        provenance=_provenance(prepared, run),
    )
    return publish(prepared.store, snapshot)


def _measured(prepared: Prepared, done: Done) -> Iterator[Receipt]:
    """Yield the receipts of the measurements of pictures, and of the statistics of images."""
    plan = prepared.plan
    planned = {key for layer in plan.layers for key in calibration_keys(plan, layer).values()}
    yield from (done.calibrate[key] for key in sorted(planned & set(done.calibrate)))
    yield from (done.scan[key] for key in plan.statistics_keys if key in done.scan)
    if plan.statistics_key in done.statistics:
        yield done.statistics[plan.statistics_key]


def _scans(prepared: Prepared, done: Done) -> tuple[ScanGroup, ...]:
    """Return the layers by the files that hold their scan: several groups if some were scanned again later."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for layer in prepared.plan.layers:
        if layer.scan_keys:
            files = scanned_files(done.scan[key] for key in layer.scan_keys)
            groups.setdefault(files, []).append(layer.layer.name)
    return tuple(ScanGroup(layers=tuple(layers), files=files) for files, layers in groups.items())


def _provenance(prepared: Prepared, run: str) -> dict[str, object]:
    return {
        "run": run,
        "command": list(sys.argv),
        "config": to_plain(prepared.config),
        "network": prepared.facts.upstream.get(OUTPUT, ""),
        "examples": len(prepared.examples),
        "versions": versions(),
        "machine": machine(prepared),
    }
