"""Everything gathered about some layers over one span: running statistics of all their channels side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.config.schema import ScanConfig
from pipeline.plan.tasks import ScanTask
from pipeline.scan import kernels
from pipeline.scan.reducers import Reduced
from pipeline.stats import histogram
from pipeline.stats.classes import ClassSums
from pipeline.stats.files import Sampled
from pipeline.stats.moments import Moments
from pipeline.stats.partial import Partial
from pipeline.stats.sample import position_of
from pipeline.stats.topk import TopClasses, TopK


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
        self._sampled: list[tuple[int, dict[str, NDArray[Any]]]] = []

    def add(self, places: Sequence[int], reduced: Reduced, sampled: Sequence[int]) -> None:
        """Take in a batch of examples, which stand at `places` of the span.

        `sampled` says which of the batch are those whose values are all kept.
        """
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
        for vector, image in zip(reduced.vectors, sampled, strict=True):
            kept = {name: getattr(reduced, name)[image].copy() for name in ("mean", "peak", "peak_at")}
            self._sampled.append((places[image], kept | {"vector": vector}))

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
            maximum_histogram=self._histograms[0].astype(np.int64),
            mean_histogram=self._histograms[1].astype(np.int64),
            top=self._top,
            bottom=self._bottom,
            top_mean=self._top_mean,
            bottom_mean=self._bottom_mean,
            classes=TopClasses(labels=tuple(self._labels), best=self._class_best, classes=self._class_at),
        )

    @property
    def class_sums(self) -> ClassSums:
        """Return the sums of the classes that had a readable example."""
        found = [number for number, count in enumerate(self._class_counts) if count]
        return ClassSums(
            counts={self._labels[number]: int(self._class_counts[number]) for number in found},
            sums={self._labels[number]: self._class_sums[number] for number in found},
        )

    @property
    def sampled(self) -> Sampled:
        """Return the values of the sampled examples."""
        channels, span = len(self._within), self._task.span
        ids = [span.example_ids[place] for place, _ in self._sampled]

        def matrix(name: str, type_: type) -> NDArray[Any]:
            rows = [kept[name] for _, kept in self._sampled]
            return np.stack(rows) if rows else np.empty((0, channels), type_)

        return Sampled(
            ids=ids,
            labels=[span.labels[place] for place, _ in self._sampled],
            mean=matrix("mean", np.float32),
            maximum=matrix("peak", np.float32),
            maximum_at=matrix("peak_at", np.int32),
            vectors=matrix("vector", np.float16),
            vectors_at={
                layer.name: np.array([position_of(name, *layer.positions) for name in ids], np.int32).reshape(-1, 2)
                for layer in self._layers
            },
        )


def _with(moments: Moments, values: NDArray[np.float32]) -> Moments:
    """Take values, (examples, channels), into moments, whose arrays change in place."""
    arrays = (moments.mean, moments.m2, moments.m3, moments.minimum, moments.maximum, moments.active)
    kernels.add_moments(values, moments.count, *arrays)
    return replace(moments, count=moments.count + len(values))


def _add(best: TopK, values: NDArray[np.float32], at: NDArray[np.int32], numbers: NDArray[np.int64]) -> None:
    kernels.add_best(values, at, numbers, best.sign, best.values, best.numbers, best.at)
