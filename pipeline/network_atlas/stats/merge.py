"""Statistics of a layer over the whole dataset: its partials merged, its sample, its classes.

The result depends on the examples that were scanned, not on how or in which order. Partials are merged in the order of
their spans, in a tree of fixed shape, and only when the spans cover the dataset exactly. A gap or an overlap is an
error that names it. Files count the examples of their own span; numbers here are those of the whole dataset.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from network_atlas.config.schema import ScanConfig
from network_atlas.errors import MergeError
from network_atlas.layers import LayerSpec
from network_atlas.stats.classes import ClassSums
from network_atlas.stats.constant import is_constant
from network_atlas.stats.files import (
    CLASSES,
    EXAMPLES,
    FOLDERS,
    PARTIALS,
    SAMPLES,
    read_class_sums,
    read_ids,
    read_partial,
    read_sample,
    read_span,
)
from network_atlas.stats.histogram import Histogram
from network_atlas.stats.moments import Moments
from network_atlas.stats.partial import Partial, check_cover
from network_atlas.stats.sample import DUPLICATES_FROM, Sample, quantiles_of
from network_atlas.stats.topk import NONE, TopK
from network_atlas.stats.tree import merge_tree
from network_atlas.store.root import Store

PARTNERS = 5
"""Most correlated channels that a channel's record names."""
CLASSES_NAMED = 5
"""Classes with the highest mean that a channel's record names."""

Example = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelScan:
    """Statistics of one channel over the whole dataset; examples have `example_id, value, row, column`."""

    count: int
    """The examples behind the numbers: those that could be read and on which the layer's values are all finite."""
    non_finite: int
    """The examples that could be read and are left out."""
    mean: float | None
    variance: float | None
    minimum: float | None
    maximum: float | None
    """Over all positions of all examples; None where there are none."""
    top: tuple[Example, ...]
    bottom: tuple[Example, ...]
    sample_spatial_mean: NDArray[np.float32]
    """(sampled examples,), as are the next."""
    sample_spatial_maximum: NDArray[np.float32]
    sample_centre: NDArray[np.float32]
    centre: tuple[int, int]
    """The position of `sample_centre`: (row, column)."""

    @property
    def size(self) -> float:
        """Return the largest absolute value anywhere; 0 where there are no values."""
        return max(abs(self.minimum or 0.0), abs(self.maximum or 0.0))

    @property
    def dead(self) -> bool:
        """Say whether the channel has one value everywhere, but for rounding."""
        return self.minimum is not None and self.maximum is not None and bool(is_constant(self.minimum, self.maximum))


class LayerScan(Mapping[int, ChannelScan]):
    """Statistics of one layer over the whole dataset; as a mapping, those of each of its channels."""

    def __init__(
        self, layer: LayerSpec, whole: Partial, sample: Sample, classes: ClassSums | None, ids: NDArray[np.object_]
    ) -> None:
        self.layer = layer
        self.whole = whole
        self.sample = sample
        self.classes = classes
        self.ids = ids

    def __getitem__(self, channel: int) -> ChannelScan:
        if not 0 <= channel < self.layer.channels:
            raise KeyError(channel)
        whole = self.whole
        count = int(whole.count[channel])
        return ChannelScan(
            count=count,
            non_finite=int(whole.non_finite[channel]),
            mean=float(whole.spatial_mean.mean[channel]) if count else None,
            variance=float(self._variance[channel]) if count else None,
            minimum=float(whole.minimum[channel]) if count else None,
            maximum=float(whole.spatial_maximum.maximum[channel]) if count else None,
            top=self.examples(whole.top, channel),
            bottom=self.examples(whole.bottom, channel),
            sample_spatial_mean=self.sample.spatial_mean[:, channel],
            sample_spatial_maximum=self.sample.spatial_maximum[:, channel],
            sample_centre=self.sample.centre[:, channel],
            centre=self.layer.centre,
        )

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.layer.channels))

    def __len__(self) -> int:
        return self.layer.channels

    def examples(self, best: TopK, channel: int) -> tuple[Example, ...]:
        """Return a channel's examples out of a list of the partial, best first."""
        numbers = best.numbers[channel]
        entries = zip(numbers.tolist(), best.values[channel].tolist(), best.at[channel].tolist(), strict=True)
        return tuple(self.example(self.ids[number], value, at) for number, value, at in entries if number != NONE)

    def example(self, example_id: str, value: float, at: int) -> Example:
        """Return an example; its flat position `at`, counted row by row, becomes row and column."""
        row, column = divmod(at, self.layer.positions[1])
        return {"example_id": example_id, "value": value, "row": row, "column": column}

    def spatial_maximum(self, channel: int) -> dict[str, Any]:
        """Return a channel's statistics of the spatial maximum over examples, as the tables have them."""
        whole = self.whole
        values = self.sample.spatial_maximum[:, channel]
        return self._statistics(channel, whole.spatial_maximum, whole.spatial_maximum_histogram, values)

    def spatial_mean(self, channel: int) -> dict[str, Any]:
        """Return a channel's statistics of the spatial mean over examples, as the tables have them."""
        whole = self.whole
        values = self.sample.spatial_mean[:, channel]
        return self._statistics(channel, whole.spatial_mean, whole.spatial_mean_histogram, values)

    def _statistics(
        self, channel: int, moments: Moments, histogram: Histogram, values: NDArray[np.float32]
    ) -> dict[str, Any]:
        count = int(moments.count[channel])
        low, high = float(moments.minimum[channel]), float(moments.maximum[channel])
        numbers = {name: float(getattr(moments, name)[channel]) for name in ("mean", "variance", "skewness")}
        return {
            **{name: None if np.isnan(number) or not count else number for name, number in numbers.items()},
            "minimum": low if count else None,
            "maximum": high if count else None,
            "fraction_active": float(moments.active[channel]) / count if count else None,
            "fraction_above_noise": float(np.mean(values > self.noise_floor)) if len(values) else None,
            "quantiles": quantiles_of(values),
            "histogram": histogram.entries(channel, low, high),
        }

    @cached_property
    def noise_floor(self) -> float:
        """Return the size of a value below which it counts as noise in this layer."""
        return self.sample.noise_floor()

    def partners(self, channel: int) -> list[dict[str, Any]]:
        """Return the channels whose spatial means follow this one's most closely over the sample, closest first."""
        row = self._correlations[channel]
        others = [int(other) for other in np.flatnonzero(np.isfinite(row)) if other != channel]
        # Ties go to the smaller channel: correlations are rounded, so that there are some.
        closest = sorted(others, key=lambda other: (-float(row[other]), other))[:PARTNERS]
        return [{"channel": other, "correlation": float(row[other])} for other in closest]

    def duplicates(self, channel: int) -> list[int]:
        """Return the channels that are near-duplicates of this one."""
        row = self._correlations[channel]
        with np.errstate(invalid="ignore"):
            return [int(other) for other in np.flatnonzero(row >= DUPLICATES_FROM) if other != channel]

    def selectivity(self, channel: int) -> float | None:
        """Return the share of the channel's variance that lies between classes; None where it is not defined."""
        share = None if self._selectivity is None else float(self._selectivity[channel])
        return None if share is None or np.isnan(share) else share

    def best_classes(self, channel: int) -> list[dict[str, Any]]:
        """Return the classes with the highest mean of the channel's spatial means, highest first."""
        if self.classes is None or not self.classes.labels:
            return []
        means, labels = self._class_means[:, channel], self.classes.labels
        order = sorted(range(len(labels)), key=lambda index: (-float(means[index]), labels[index]))[:CLASSES_NAMED]
        return [
            {"label": labels[index], "count": int(self.classes.counts[index, 0]), "mean": float(means[index])}
            for index in order
        ]

    def class_examples(self, channel: int) -> tuple[Example, ...]:
        """Return the best example of each of the classes that hold the channel's best, by spatial maximum."""
        return self.examples(self.whole.classes.best, channel)

    @cached_property
    def _variance(self) -> NDArray[np.float64]:
        return self.whole.variance

    @cached_property
    def _correlations(self) -> NDArray[np.float64]:
        return self.sample.correlations()

    @cached_property
    def _selectivity(self) -> NDArray[np.float64] | None:
        if self.classes is None:
            return None
        # Means of normalized maps are zero but for the rounding of the values that they were computed from.
        size = np.maximum(np.abs(self.whole.minimum), np.abs(self.whole.spatial_maximum.maximum))
        return self.classes.selectivity(self.whole.spatial_mean, size)

    @cached_property
    def _class_means(self) -> NDArray[np.float64]:
        assert self.classes is not None
        return self.classes.means


def read_layer_scan(
    store: Store,
    files: Sequence[str],
    layer: LayerSpec,
    config: ScanConfig,
    *,
    examples: int | None = None,
    with_classes: bool = False,
) -> LayerScan:
    """Return the statistics of a layer from the scan's files, of a dataset of `examples` (None: all that were scanned).

    Raises MergeError when the spans do not cover the dataset exactly.
    """
    under = {folder: [path for path in files if path.startswith(f"{folder}/")] for folder in FOLDERS}
    if not under[PARTIALS]:
        raise MergeError(f"no partial of {layer.name} was found; run the scan again")
    ids = read_ids(store, under[EXAMPLES])
    spans = _spans(store, under[PARTIALS], layer, ids)
    check_cover([(start, stop) for start, stop, _ in spans], spans[-1][1] if examples is None else examples)
    classes = None
    if with_classes and under[CLASSES]:
        # In the order of spans: that of the files means nothing, and the last bits of sums depend on the order.
        parts = sorted((read_class_sums(store, path, layer) for path in under[CLASSES]), key=lambda part: part[0])
        classes = merge_tree((sums for _, sums in parts), ClassSums.merge).present
    return LayerScan(
        layer,
        # Read as the tree asks for them: the partials of a large dataset would not fit into memory together.
        merge_tree((read_partial(store, path, layer, config, start=start) for start, _, path in spans), Partial.merge),
        read_sample(store, under[SAMPLES], layer),
        classes,
        np.concatenate(ids),
    )


def _spans(
    store: Store, paths: Sequence[str], layer: LayerSpec, ids: Sequence[NDArray[np.object_]]
) -> list[tuple[int, int, str]]:
    """Return where the span of each partial begins and ends in the dataset, and the partial's path, in this order."""
    starts = np.cumsum([0, *map(len, ids)]).tolist()
    start_of = {str(of_span[0]): start for of_span, start in zip(ids, starts, strict=False)}
    spans = []
    for path in paths:
        first, examples = read_span(store, path, layer)
        if first not in start_of:
            raise MergeError(f"no file lists the examples of the span that begins with {first!r}; run the scan again")
        spans.append((start_of[first], start_of[first] + examples, path))
    return sorted(spans)
