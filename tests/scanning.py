"""A whole scan in this process, merged."""

from __future__ import annotations

from network_atlas.config.schema import RunConfig
from network_atlas.run.inputs import scanned_files
from network_atlas.run.prepare import prepare
from network_atlas.scan.worker import ScanWorker
from network_atlas.stats.merge import LayerScan, read_layer_scan
from network_atlas.store.receipts import Receipt


def scan(config: RunConfig, *, backwards: bool = False) -> dict[str, LayerScan]:
    """Scan everything and return the merged result by layer."""
    prepared = prepare(config)
    worker = ScanWorker(prepared.config, threads=1)
    tasks = prepared.plan.scan_tasks(set())
    return merged(config, [worker.run(task) for task in (tasks[::-1] if backwards else tasks)])


def merged(config: RunConfig, receipts: list[Receipt]) -> dict[str, LayerScan]:
    prepared = prepare(config)
    return {
        layer.layer.name: read_layer_scan(
            prepared.store,
            scanned_files(receipts),
            layer.layer,
            config.kept,
            examples=len(prepared.examples),
            with_classes=True,
        )
        for layer in prepared.plan.layers
    }
