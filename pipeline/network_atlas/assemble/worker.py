"""The assemble worker: reads everything that the store has about one layer and writes its tables."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from network_atlas.assemble.activation_atlas import OF_CELL, cell_rows, shown_of
from network_atlas.assemble.examples import (
    Crops,
    Location,
    Shown,
    examples_of,
    examples_of_reference,
    location_of,
)
from network_atlas.assemble.join import Sources, layer_rows, statistics_rows
from network_atlas.config.schema import RunConfig
from network_atlas.dataset import Preprocessing, open_source
from network_atlas.plan.tasks import AssembleTask
from network_atlas.stats.merge import LayerScan, read_layer_scan
from network_atlas.store import layout_schemas, schemas
from network_atlas.store.paths import activation_atlas_path, atlas_path, statistics_path
from network_atlas.store.receipts import Receipt, commit
from network_atlas.store.root import Store
from network_atlas.store.shards import put_table, read_rows
from network_atlas.units import Cell


class AssembleWorker:
    """Assembles layers. Needs no model and no torch."""

    def __init__(self, config: RunConfig, *, threads: int = 0) -> None:
        self._config = config
        self._store = Store.open(config.store.root)
        self._source = open_source(config.dataset)
        self._preprocessing = Preprocessing(config.model.input)

    def run(self, task: AssembleTask) -> Receipt:
        """Join one layer and commit its tables."""
        started = time.monotonic()
        layer = task.plan.layer
        scan, calibrations = self._scan(task), self._calibrations(task)
        sources = Sources(
            model=self._config.model.name,
            class_names=task.class_names,
            scan=scan,
            pictures=self._pictures(task),
            calibrations=calibrations,
            label=cache(self._source.label),
            spectrum_k=self._config.scan.spectrum_k,
            reference_k=self._config.scan.top_k,
            crops=self._crops(task, scan, calibrations) if scan else {},
        )
        plan = replace(task.plan, pictures=tuple(p for p in task.plan.pictures if not isinstance(p.unit, Cell)))
        files = [put_table(self._store, atlas_path(layer), layer_rows(plan, sources), schemas.ATLAS)]
        if scan:
            rows = statistics_rows(layer, sources)
            files.append(put_table(self._store, statistics_path(layer), rows, schemas.CHANNEL_STATS))
        if task.cells_file:
            rows = self._cells(task, sources)
            files.append(put_table(self._store, activation_atlas_path(layer), rows, layout_schemas.ACTIVATION_ATLAS))
        seconds = time.monotonic() - started
        receipt = Receipt(stage="assemble", task=task.id, keys=(task.key,), files=tuple(files), seconds=seconds)
        return commit(self._store, receipt)

    def _scan(self, task: AssembleTask) -> LayerScan | None:
        if not task.examples:
            return None  # dataset=none
        scan, layer = self._config.scan, task.plan.layer
        return read_layer_scan(self._store, task.scan_files, layer, scan, examples=task.examples, with_classes=True)

    def _cells(self, task: AssembleTask, sources: Sources) -> list[dict[str, Any]]:
        """Return the rows of the layer's activation atlas."""
        cells: list[dict[str, Any]] = read_rows(self._store, task.cells_file, columns=OF_CELL)
        crops = Crops(self._source, self._preprocessing, self._config.assemble.crop_px)
        count = self._config.layout.examples
        locations = (location for cell in cells for location in shown_of(cell, count))
        return cell_rows(
            self._config.model.name,
            cells,
            task.plan.pictures,
            made=sources.pictures,
            calibrations=sources.calibrations,
            crops=crops.shown(task.plan.layer, locations),
            shown=count,
        )

    def _crops(
        self, task: AssembleTask, scan: LayerScan, calibrations: Mapping[str, Mapping[str, Any]]
    ) -> dict[Location, Shown]:
        crops = Crops(self._source, self._preprocessing, self._config.assemble.crop_px)
        of_channels = (examples_of(scan, channel, self._config.scan.spectrum_k) for channel in task.plan.channels)
        cells = {picture.key for picture in task.plan.pictures if isinstance(picture.unit, Cell)}  # cut by `_cells`
        of_others = (
            examples_of_reference(measured["reference"] or [], self._config.scan.top_k)
            for key, measured in calibrations.items()
            if key not in cells
        )
        locations = (location_of(example) for examples in (*of_channels, *of_others) for example in examples)
        return crops.shown(task.plan.layer, locations)

    def _pictures(self, task: AssembleTask) -> dict[str, dict[str, Any]]:
        keys = {picture.key for picture in task.plan.pictures}
        rows = (row for path in task.picture_files for row in read_rows(self._store, path))
        return {str(row["key"]): row for row in rows if row["key"] in keys}

    def _calibrations(self, task: AssembleTask) -> dict[str, dict[str, Any]]:
        keys = set(task.calibrations)
        rows = (row for path in task.calibration_files for row in read_rows(self._store, path))
        return {str(row["key"]): row for row in rows if row["calibration"] in keys}
