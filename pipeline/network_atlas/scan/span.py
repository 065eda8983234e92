"""Everything gathered about some layers over one span: running statistics of all their channels side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from network_atlas.config.schema import ScanConfig
from network_atlas.layers import channel_slices
from network_atlas.plan.tasks import ScanTask
from network_atlas.scan.reducers import Reduced
from network_atlas.stats.classes import ClassSums
from network_atlas.stats.files import Sampled
from network_atlas.stats.partial import Partial
from network_atlas.stats.sample import positions_of, sample_hash

KEPT_FIELDS: dict[str, type] = {
    "spatial_mean": np.float32,
    "spatial_maximum": np.float32,
    "spatial_maximum_at": np.int32,
    "vectors": np.float16,
}


class SpanScan:
    """The scan of one task. Batches are taken in the order of the examples' numbers."""

    def __init__(self, task: ScanTask, config: ScanConfig) -> None:
        self._task = task
        labels = sorted({label for label in task.span.labels if label}) if config.class_k else []
        self._class_numbers = {label: number for number, label in enumerate(labels)}
        positions = [rows * columns for rows, columns in (layer.positions for layer in task.layers)]
        per_channel = np.repeat(np.array(positions, np.int64), [layer.channels for layer in task.layers])
        span = task.span
        self.partial = Partial.empty(span.start, span.stop, per_channel, config=config, labels=labels)
        self._class_sums = ClassSums.empty(len(per_channel), labels)
        self._kept = _Kept(task)

    def add(self, places: Sequence[int], values: Reduced) -> None:
        """Take in some examples, which stand at `places` of the span."""
        span = self._task.span
        numbers = span.start + np.array(places, np.int64)
        classes = np.array([self._class_numbers.get(span.labels[place], -1) for place in places], np.int32)
        self.partial.update(values, numbers, classes)
        self._class_sums.update(values.spatial_mean, classes)
        self._kept.add(places, values)

    @property
    def class_sums(self) -> ClassSums:
        """Return the sums of the classes that had a readable example."""
        return self._class_sums.seen()

    @property
    def sampled(self) -> Sampled:
        """Return the values of the sampled examples."""
        return self._kept.sampled


class _Kept:
    """The values of the sampled examples, laid out as they are written: one layer after the other."""

    def __init__(self, task: ScanTask) -> None:
        self._task = task
        self._limit = sum(self._belongs(place) for place in range(len(task.span.example_ids)))
        size = self._limit * sum(layer.channels for layer in task.layers)
        self._flat: dict[str, NDArray[Any]] = {name: np.empty(size, type_) for name, type_ in KEPT_FIELDS.items()}
        self._places: list[int] = []

    def _belongs(self, place: int) -> bool:
        return sample_hash(self._task.span.example_ids[place]) <= self._task.sample_limit

    def _parts(self, name: str) -> Iterator[tuple[slice, NDArray[Any]]]:
        """Yield the channels of each layer, and the array (examples, channels) that holds them."""
        for part in channel_slices(self._task.layers):
            block = self._flat[name][part.start * self._limit : part.stop * self._limit]
            yield part, block.reshape(self._limit, part.stop - part.start)

    def add(self, places: Sequence[int], reduced: Reduced) -> None:
        images = [image for image, place in enumerate(places) if self._belongs(place)]
        rows = slice(len(self._places), len(self._places) + len(images))
        for name in KEPT_FIELDS:
            values = reduced.vectors if name == "vectors" else getattr(reduced, name)[images]
            for part, block in self._parts(name):
                block[rows] = values[:, part]
        self._places += [places[image] for image in images]

    @property
    def sampled(self) -> Sampled:
        count, span = len(self._places), self._task.span
        ids = [span.example_ids[place] for place in self._places]

        def flat(name: str) -> NDArray[Any]:
            if count == self._limit:
                return self._flat[name]
            return np.concatenate([block[:count].reshape(-1) for _, block in self._parts(name)])  # some were unreadable

        places = [positions_of(ids, *layer.positions) for layer in self._task.layers]
        return Sampled(
            ids=ids,
            labels=[span.labels[place] for place in self._places],
            spatial_mean=flat("spatial_mean"),
            spatial_maximum=flat("spatial_maximum"),
            spatial_maximum_at=flat("spatial_maximum_at"),
            vectors=flat("vectors"),
            vectors_at=np.concatenate([np.empty((0, 2), np.int32), *places]),
        )
