"""The scan worker: reads one span of the dataset, runs the model, commits one partial.

Reading and decoding run in threads beside the forward pass. An image that can't be read is written to the failures
table and left out; the span goes on.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from network_atlas.config.schema import RunConfig
from network_atlas.dataset import Preprocessing, open_source
from network_atlas.errors import UnreadableImageError
from network_atlas.models.batches import filled
from network_atlas.models.capture import capture
from network_atlas.models.frozen.freeze import way_of_running
from network_atlas.models.load import normalize
from network_atlas.models.memory import FittingBatch
from network_atlas.models.worker_setup import set_up_worker
from network_atlas.plan.tasks import ScanTask
from network_atlas.scan.helpers import Helpers
from network_atlas.scan.images import ImageStatistics
from network_atlas.scan.reducers import Reducer
from network_atlas.scan.span import SpanScan
from network_atlas.stats.files import put_class_sums, put_examples, put_partial, put_sample
from network_atlas.stats.sample import sample_hash
from network_atlas.store import scan_schemas
from network_atlas.store.receipts import Receipt, commit
from network_atlas.store.shards import FileEntry, put_shard

Pixels = NDArray[np.uint8]
Run = Callable[[torch.Tensor], None]
Failure = dict[str, str]

BATCH, BATCH_ON_GPU = 4, 64
"""Images per forward pass where `scan.batch` leaves it open. On processors few: a map is still in the cache when the
next layer reads it (EfficientNet-Lite0, bare, one core: 17 ms an image in batches of 4, 20 of 8, 28 of 16)."""


class ScanWorker:
    """Scans spans; holds one model, so that it is loaded once per process."""

    def __init__(self, config: RunConfig, *, threads: int = 0) -> None:
        self._config = config
        self._device, self._model, self._store = set_up_worker(config, threads=threads)
        self._source = open_source(config.dataset)
        self._preprocessing = Preprocessing(config.model.input)
        self._fitting = FittingBatch(self._batch)
        self._helpers = Helpers(torch.get_num_threads() if self._device.type == "cpu" else 1)

    def run(self, task: ScanTask) -> Receipt:
        """Scan one span for the task's layers and commit the partial."""
        started = time.monotonic()
        scan = SpanScan(task, self._config.kept, self._helpers)
        images = ImageStatistics(self._config.model.input)
        failures = self._scan(task, scan, images)
        files = self._put(task, scan) if task.layers else []
        if task.statistics_key:
            row = images.row(task.span.example_ids)
            files.append(put_shard(self._store, "scan/dataset", [row], scan_schemas.DATASET_PARTIALS))
        if failures:
            files.append(put_shard(self._store, "failures/images", failures, scan_schemas.FAILURES))
        return commit(
            self._store,
            Receipt(
                stage="scan",
                task=task.id,
                keys=task.keys,
                files=tuple(files),
                seconds=time.monotonic() - started,
                unreadable=len(failures),
                network=way_of_running(self._model),
            ),
        )

    def _put(self, task: ScanTask, scan: SpanScan) -> list[FileEntry]:
        store, layers, span, sums = self._store, task.layers, task.span, scan.class_sums
        works = [  # the longest first, so that threads end together
            partial(put_partial, store, layers, scan.partial, first=span.example_ids[0]),
            partial(put_sample, store, layers, scan.sampled),
            partial(put_examples, store, span.example_ids, span.labels),
        ]
        if sums.labels:
            works.append(partial(put_class_sums, store, layers, sums, ids=span.example_ids))
        return self._helpers.do(works)

    def _scan(self, task: ScanTask, scan: SpanScan, images: ImageStatistics) -> list[Failure]:
        failures: list[Failure] = []
        reducer, kept = Reducer(task.layers, self._batch, self._helpers), list[int]()
        ids = task.span.example_ids
        with torch.no_grad(), capture(self._model, task.layers, reducer.receive, stop=True) as run:
            for indices, pixels in self._batches(ids, failures):
                hashes = [sample_hash(ids[index]) for index in indices]
                if task.statistics_key:
                    images.add(
                        [image for image, hash_ in zip(pixels, hashes, strict=True) if hash_ <= task.images_limit]
                    )
                if not task.layers:
                    continue
                sampled = [(n, ids[indices[n]]) for n, code in enumerate(hashes) if code <= task.sample_limit]
                self._fitting.over(partial(self._reduce, run, reducer, pixels, sampled), len(indices))
                kept += indices
                if reducer.full:
                    scan.update(reducer.taken(), kept)
                    kept = []
            if kept:
                scan.update(reducer.taken(), kept)
        return failures

    def _reduce(
        self, run: Run, reducer: Reducer, pixels: list[Pixels], sampled: Sequence[tuple[int, str]], part: slice
    ) -> list[Pixels]:
        """Run a part of a batch and keep its numbers; one that does not fit never reaches `end`, so none are kept."""
        images = pixels[part]
        reducer.start([(number - part.start, name) for number, name in sampled if part.start <= number < part.stop])
        run(filled(self._images(images), self._fitting.at_once))
        reducer.end(len(images))
        return images

    @property
    def _batch(self) -> int:
        return self._config.scan.batch or (BATCH if self._device.type == "cpu" else BATCH_ON_GPU)

    def _images(self, pixels: list[Pixels]) -> torch.Tensor:
        batch = torch.from_numpy(np.stack(pixels)).to(self._device).permute(0, 3, 1, 2)
        images = normalize(batch.float() / 255, self._config.model.input)
        return images.contiguous(memory_format=torch.channels_last)

    def _batches(self, example_ids: Sequence[str], failures: list[Failure]) -> Iterator[tuple[list[int], list[Pixels]]]:
        """Yield readable examples in batches, with their indices in the span; the unreadable go to `failures`."""
        size = self._batch
        indices: list[int] = []
        pixels: list[Pixels] = []
        for index, result in enumerate(self._read_ahead(example_ids, lookahead=2 * size)):
            if isinstance(result, UnreadableImageError):
                failures.append({"example_id": example_ids[index], "reason": str(result)})
                continue
            indices.append(index)
            pixels.append(result)
            if len(indices) == size:
                yield indices, pixels
                indices, pixels = [], []
        if indices:
            yield indices, pixels

    def _read_ahead(self, example_ids: Sequence[str], *, lookahead: int) -> Iterator[Pixels | UnreadableImageError]:
        waiting: deque[Future[Pixels | UnreadableImageError]] = deque()
        with ThreadPoolExecutor(self._config.dataset.readers) as pool:
            for example_id in example_ids:
                waiting.append(pool.submit(self._read, example_id))
                if len(waiting) > lookahead:
                    yield waiting.popleft().result()
            for future in waiting:
                yield future.result()

    def _read(self, example_id: str) -> Pixels | UnreadableImageError:
        try:
            image = self._source.read(example_id, side_min_px=self._preprocessing.side_min_px)
            return self._preprocessing.apply(image)
        except UnreadableImageError as error:
            return error
