"""The assemble worker: reads what the store holds about one layer and writes its atlas table."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import Any

from pipeline.assemble.join import Sources, layer_rows
from pipeline.config.schema import RunConfig
from pipeline.dataset import Preprocessing, open_source
from pipeline.dataset.crops import crop_around
from pipeline.errors import UnreadableImageError
from pipeline.plan.tasks import AssembleTask
from pipeline.stats.merge import ChannelScan, merge_partials
from pipeline.store import schemas
from pipeline.store.paths import Store, atlas_path
from pipeline.store.receipts import Receipt, commit
from pipeline.store.shards import put_table, read_rows
from pipeline.units import LayerSpec

log = logging.getLogger(__name__)

Place = tuple[str, int, int]


class AssembleWorker:
    """Assembles layers. Needs no model and no torch."""

    def __init__(self, config: RunConfig, *, threads: int = 0) -> None:
        self._config = config
        self._store = Store.open(config.store.root)
        self._source = open_source(config.dataset)
        self._preprocessing = Preprocessing(config.model.input)

    def run(self, task: AssembleTask) -> Receipt:
        """Join one layer and commit its table."""
        started = time.monotonic()
        layer = task.plan.layer
        scans = self._scans(task)
        wanted = {channel: scans[channel] for channel in task.plan.channels if channel in scans}
        sources = Sources(
            model=self._config.model.name,
            class_names=task.class_names,
            scans=wanted,
            channel_means={channel: scan.mean for channel, scan in scans.items()},
            pictures=self._pictures(task),
            calibrations=self._calibrations(task),
            label=self._source.label,
            crops=self._crops(layer, wanted.values()),
        )
        rows = layer_rows(task.plan, sources)
        file = put_table(self._store, atlas_path(layer), rows, schemas.ATLAS)
        receipt = Receipt(
            stage="assemble", task=task.id, keys=(task.key,), files=(file,), seconds=time.monotonic() - started
        )
        return commit(self._store, receipt)

    def _scans(self, task: AssembleTask) -> dict[int, ChannelScan]:
        if not task.examples:
            return {}  # dataset=none
        index = task.plan.layer.index
        rows = [row for path in task.partial_files for row in read_rows(self._store, path, layer_index=index)]
        scan = self._config.scan
        return merge_partials(rows, examples=task.examples, top_k=scan.top_k, bottom_k=scan.bottom_k)

    def _pictures(self, task: AssembleTask) -> dict[str, dict[str, Any]]:
        wanted = {picture.key for picture in task.plan.pictures}
        rows = (row for path in task.picture_files for row in read_rows(self._store, path))
        return {str(row["key"]): row for row in rows if row["key"] in wanted}

    def _calibrations(self, task: AssembleTask) -> dict[str, dict[str, Any]]:
        wanted = set(task.calibrations)
        rows = (row for path in task.calibration_files for row in read_rows(self._store, path))
        return {str(row["key"]): row for row in rows if row["calibration"] in wanted}

    def _crops(self, layer: LayerSpec, scans: Iterable[ChannelScan]) -> dict[Place, bytes | None]:
        """Return the crop of every place, read in the order of ids so that a file is decoded once."""
        places = {
            (example["example_id"], example["row"], example["column"])
            for scan in scans
            for example in (*scan.top, *scan.bottom)
        }
        return {place: self._crop(layer, place) for place in sorted(places)}

    def _crop(self, layer: LayerSpec, place: Place) -> bytes | None:
        example_id, row, column = place
        rows, columns = layer.positions
        try:
            image = self._source.read(example_id)
        except UnreadableImageError as error:
            # It could be read in the scan: the file went away or changed in between.
            log.error("no crop for %s: %s", example_id, error)
            return None
        return crop_around(
            image,
            self._preprocessing,
            row=row,
            column=column,
            rows=rows,
            columns=columns,
            receptive_field_px=layer.receptive_field_px,
            side_px=self._config.assemble.crop_px,
        )
