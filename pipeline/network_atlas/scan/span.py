"""Everything gathered about some layers over one span: running statistics of all their channels side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from network_atlas.config.schema import ScanConfig
from network_atlas.layers import channel_slices
from network_atlas.plan.tasks import ScanTask
from network_atlas.scan import kernels
from network_atlas.scan.reducers import Reduced
from network_atlas.stats import histogram
from network_atlas.stats.classes import ClassSums
from network_atlas.stats.files import Sampled
from network_atlas.stats.moments import Moments
from network_atlas.stats.partial import Partial
from network_atlas.stats.sample import positions_of, sample_hash
from network_atlas.stats.topk import TopClasses, TopK

KEPT_FIELDS: dict[str, type] = {"mean": np.float32, "peak": np.float32, "peak_at": np.int32, "vectors": np.float16}


class SpanScan:
    """The scan of one task. Batches are taken in the order of the examples' numbers."""

    def __init__(self, task: ScanTask, config: ScanConfig) -> None:
        self._task = task
        self._layers = task.layers
        channels = sum(layer.channels for layer in task.layers)
        self._maximum, self._mean = Moments.empty(channels), Moments.empty(channels)
        self._histograms = [np.zeros((channels, histogram.BUCKETS), np.uint32) for _ in range(2)]
        self._top = TopK.empty(channels, config.top_k)
        self._bottom = TopK.empty(channels, config.bottom_k, sign=-1)
        self._top_mean = TopK.empty(channels, config.spectrum_k)
        self._bottom_mean = TopK.empty(channels, config.spectrum_k, sign=-1)
        self._labels = sorted({label for label in task.span.labels if label}) if config.class_k else []
        self._label_numbers = {label: number for number, label in enumerate(self._labels)}
        self._class_best = TopK.empty(channels, config.class_k if self._labels else 0)
        self._class_at = np.zeros(self._class_best.numbers.shape, np.int32)
        self._class_counts = np.zeros(len(self._labels), np.int64)
        self._class_sums = np.zeros((len(self._labels), channels))
        self._within = np.zeros(channels)
        self._minimum = np.full(channels, np.inf, np.float32)
        self._kept = _Kept(task)

    def add(self, places: Sequence[int], reduced: Reduced) -> None:
        """Take in some examples, which stand at `places` of the span."""
        numbers = self._task.span.start + np.array(places, np.int64)
        self._maximum = _with(self._maximum, reduced.peak)
        self._mean = _with(self._mean, reduced.mean)
        for counts, values in zip(self._histograms, (reduced.peak, reduced.mean), strict=True):
            bits = values.view(np.uint32)
            kernels.add_histogram(bits, counts, histogram.FIRST, histogram.SHIFT, histogram.SIDE)
        _add(self._top, reduced.peak, reduced.peak_at, numbers)
        _add(self._bottom, reduced.trough, reduced.trough_at, numbers)
        _add(self._top_mean, reduced.mean, reduced.peak_at, numbers)
        _add(self._bottom_mean, reduced.mean, reduced.peak_at, numbers)
        self._add_classes(places, reduced, numbers)
        for row in reduced.within:  # one after the other: the same bits whatever the batch
            self._within += row
        self._minimum = np.minimum(self._minimum, reduced.trough.min(axis=0))
        self._kept.add(places, reduced)

    def _add_classes(self, places: Sequence[int], reduced: Reduced, numbers: NDArray[np.int64]) -> None:
        if not self._labels:
            return
        labels = self._task.span.labels
        classes = np.array([self._label_numbers.get(labels[place], -1) for place in places], np.int32)
        best = self._class_best
        kernels.add_class_best(
            reduced.peak, reduced.peak_at, numbers, classes, best.values, best.numbers, best.at, self._class_at
        )
        for own, values in zip(classes, reduced.mean, strict=True):
            if own >= 0:
                self._class_counts[own] += 1
                self._class_sums[own] += values

    @property
    def partial(self) -> Partial:
        """Return the statistics of what was taken in."""
        positions = [layer.positions[0] * layer.positions[1] for layer in self._layers]
        return Partial(
            start=self._task.span.start,
            stop=self._task.span.stop,
            positions=np.repeat(np.array(positions, np.int64), [layer.channels for layer in self._layers]),
            within=self._within,
            minimum=self._minimum,
            maximum=self._maximum,
            mean=self._mean,
            maximum_histogram=self._histograms[0],
            mean_histogram=self._histograms[1],
            top=self._top,
            bottom=self._bottom,
            top_mean=self._top_mean,
            bottom_mean=self._bottom_mean,
            classes=TopClasses(labels=tuple(self._labels), best=self._class_best, classes=self._class_at),
        )

    @property
    def class_sums(self) -> ClassSums:
        """Return the sums of the classes that had a readable example."""
        found = self._class_counts > 0
        return ClassSums(
            labels=tuple(label for label, there in zip(self._labels, found, strict=True) if there),
            counts=self._class_counts[found],
            sums=self._class_sums if found.all() else self._class_sums[found],
        )

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
            mean=flat("mean"),
            maximum=flat("peak"),
            maximum_at=flat("peak_at"),
            vectors=flat("vectors"),
            vectors_at=np.concatenate([np.empty((0, 2), np.int32), *places]),
        )


def _with(moments: Moments, values: NDArray[np.float32]) -> Moments:
    """Take values, (examples, channels), into moments, whose arrays change in place."""
    arrays = (moments.mean, moments.m2, moments.m3, moments.minimum, moments.maximum, moments.active)
    kernels.add_moments(values, moments.count, *arrays)
    return replace(moments, count=moments.count + len(values))


def _add(best: TopK, values: NDArray[np.float32], at: NDArray[np.int32], numbers: NDArray[np.int64]) -> None:
    kernels.add_best(values, at, numbers, best.sign, best.values, best.numbers, best.at)
