"""The scan worker: reads one span of the dataset, runs the model, commits one partial.

Reading and decoding run in threads beside the forward pass. An image that can't be read is written to the failures
table and left out; the span goes on.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.config.schema import RunConfig
from pipeline.dataset import Preprocessing, open_source
from pipeline.errors import UnreadableImageError
from pipeline.models.device import device_of, use_threads
from pipeline.models.load import load_model, normalize, on_device
from pipeline.models.trace import capture
from pipeline.plan.tasks import ScanTask
from pipeline.scan.images import ImageStatistics
from pipeline.scan.reducers import LayerScan, Reduced, reduce_maps
from pipeline.stats.sample import sample_hash
from pipeline.store import schemas
from pipeline.store.paths import Store
from pipeline.store.receipts import Receipt, commit
from pipeline.store.shards import FileEntry, put_shard
from pipeline.units import LayerSpec

Pixels = NDArray[np.uint8]
Failure = dict[str, str]


class ScanWorker:
    """Scans spans; holds one model, so that it is loaded once per process."""

    def __init__(self, config: RunConfig, *, threads: int = 0) -> None:
        use_threads(threads)
        self._config = config
        self._device = device_of(config.executor)
        self._model = on_device(load_model(config.model), self._device)
        self._source = open_source(config.dataset)
        self._preprocessing = Preprocessing(config.model.input)
        self._store = Store.open(config.store.root)

    def run(self, task: ScanTask) -> Receipt:
        """Scan one span for the task's layers and commit the partial."""
        started = time.monotonic()
        scans = {layer.name: self._layer_scan(layer) for layer in task.layers}
        images = ImageStatistics(self._config.model.input)
        failures = self._scan(task, scans, images)
        files = [self._put_partial(task, scans)] if scans else []
        if task.statistics_key:
            row = images.row(task.span.start, task.span.stop)
            files.append(put_shard(self._store, "scan/dataset", [row], schemas.DATASET_PARTIALS))
        if failures:
            files.append(put_shard(self._store, "failures/images", failures, schemas.FAILURES))
        return commit(
            self._store,
            Receipt(
                stage="scan",
                task=task.id,
                keys=(*task.keys, *([task.statistics_key] if task.statistics_key else [])),
                files=tuple(files),
                seconds=time.monotonic() - started,
                unreadable=len(failures),
            ),
        )

    def _layer_scan(self, layer: LayerSpec) -> LayerScan:
        return LayerScan(layer, top_k=self._config.scan.top_k, bottom_k=self._config.scan.bottom_k)

    def _scan(self, task: ScanTask, scans: dict[str, LayerScan], images: ImageStatistics) -> list[Failure]:
        failures: list[Failure] = []
        reduced: dict[str, Reduced] = {}

        def receive(layer: LayerSpec, maps: torch.Tensor) -> None:
            reduced[layer.name] = reduce_maps(maps)

        with torch.inference_mode(), capture(self._model, task.layers, receive, stop=True) as run:
            for ids, pixels in self._batches(task.span.example_ids, failures):
                sampled = np.array([sample_hash(example_id) <= task.sample_limit for example_id in ids])
                if task.statistics_key:
                    images.add([image for image, belongs in zip(pixels, sampled, strict=True) if belongs])
                if not scans:
                    continue
                # A batch of one takes other code paths than every larger one, and rounds differently.
                run(self._images(pixels if len(pixels) > 1 else pixels * 2))
                for name, scan in scans.items():
                    scan.add(reduced[name].first(len(ids)), np.array(ids, dtype=np.str_), sampled)
        return failures

    def _images(self, pixels: list[Pixels]) -> torch.Tensor:
        batch = torch.from_numpy(np.stack(pixels)).to(self._device).permute(0, 3, 1, 2)
        images = normalize(batch.float() / 255, self._config.model.input)
        return images.contiguous(memory_format=torch.channels_last)

    def _batches(self, example_ids: Sequence[str], failures: list[Failure]) -> Iterator[tuple[list[str], list[Pixels]]]:
        """Yield readable examples in order, in batches; the unreadable ones go to `failures`."""
        size = self._config.scan.batch
        ids: list[str] = []
        pixels: list[Pixels] = []
        for example_id, result in self._read_ahead(example_ids, lookahead=2 * size):
            if isinstance(result, UnreadableImageError):
                failures.append({"example_id": example_id, "reason": str(result)})
                continue
            ids.append(example_id)
            pixels.append(result)
            if len(ids) == size:
                yield ids, pixels
                ids, pixels = [], []
        if ids:
            yield ids, pixels

    def _read_ahead(
        self, example_ids: Sequence[str], *, lookahead: int
    ) -> Iterator[tuple[str, Pixels | UnreadableImageError]]:
        waiting: deque[tuple[str, Future[Pixels | UnreadableImageError]]] = deque()
        with ThreadPoolExecutor(self._config.dataset.readers) as pool:
            for example_id in example_ids:
                waiting.append((example_id, pool.submit(self._read, example_id)))
                if len(waiting) > lookahead:
                    name, future = waiting.popleft()
                    yield name, future.result()
            for name, future in waiting:
                yield name, future.result()

    def _read(self, example_id: str) -> Pixels | UnreadableImageError:
        try:
            image = self._source.read(example_id, side_min_px=self._preprocessing.side_min_px)
            return self._preprocessing.apply(image)
        except UnreadableImageError as error:
            return error

    def _put_partial(self, task: ScanTask, scans: dict[str, LayerScan]) -> FileEntry:
        rows = [row for scan in scans.values() for row in scan.rows(task.span.start, task.span.stop)]
        order = ("layer_index", "channel")
        return put_shard(self._store, "scan/partials", rows, schemas.PARTIALS, sorted_by=order)
