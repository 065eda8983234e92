"""Write and read statistics in the store: one partial per span, and the tables beside it.

    scan/partials/        per layer and channel: sums, best examples (by their number), histograms
    scan/classes/         per layer and class: sums
    activation_samples/   per layer and sampled example: all channels' values, and one activation vector
    examples/             per example: number, id, label

Examples are numbered in the order of their ids, so that comparing numbers is comparing ids. Files count the examples of
their own span, from 0, so that they stay as they are when images come or go elsewhere. Readers add the number of the
examples in the spans before. A span is known by the id of its first example.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from network_atlas.config.schema import ScanConfig
from network_atlas.layers import LayerSpec, channel_slices
from network_atlas.stats.classes import ClassSums
from network_atlas.stats.histogram import BUCKETS, Histogram
from network_atlas.stats.moments import Moments
from network_atlas.stats.partial import Partial
from network_atlas.stats.sample import Sample
from network_atlas.stats.sampled import Sampled
from network_atlas.stats.topk import NONE, TopClasses, TopK
from network_atlas.store import scan_schemas
from network_atlas.store.columns import Column, Lists, put_columns, read_columns
from network_atlas.store.root import Store
from network_atlas.store.shards import FileEntry

PARTIALS, CLASSES, SAMPLES, EXAMPLES = "scan/partials", "scan/classes", "activation_samples", "examples"
FOLDERS = (PARTIALS, CLASSES, SAMPLES, EXAMPLES)

MOMENTS = ("mean", "m2", "m3", "minimum", "maximum", "active")
KINDS = ("spatial_maximum", "spatial_mean")
BEST = {"top": 1, "bottom": -1, "top_mean": 1, "bottom_mean": -1}
"""The lists of examples, with the sign of their order."""


def put_partial(store: Store, layers: Sequence[LayerSpec], partial: Partial, *, first: str) -> FileEntry:
    """Write the partial of the span that begins with an example; it numbers its own examples from 0.

    Its channels are those of `layers`, one layer after the other.
    """
    columns = _channel_columns(layers) | _partial_columns(partial)
    columns["first"] = [first] * len(partial.within)
    return put_columns(store, PARTIALS, columns, scan_schemas.PARTIALS)


def _channel_columns(layers: Sequence[LayerSpec]) -> dict[str, Column]:
    sizes = [layer.channels for layer in layers]
    return {
        "layer_index": np.repeat([layer.index for layer in layers], sizes).astype(np.int32),
        "layer": [layer.name for layer in layers for _ in range(layer.channels)],
        "channel": np.concatenate([np.arange(size, dtype=np.int32) for size in sizes]),
    }


def _partial_columns(partial: Partial) -> dict[str, Column]:
    channels = len(partial.within)
    columns: dict[str, Column] = {
        name: np.full(channels, getattr(partial, name), np.int64) for name in ("start", "stop")
    }
    columns |= {name: getattr(partial, name) for name in ("count", "non_finite", "positions", "within", "minimum")}
    for kind in KINDS:
        moments: Moments = getattr(partial, kind)
        histogram: Histogram = getattr(partial, f"{kind}_histogram")
        columns |= {f"{kind}_{name}": getattr(moments, name) for name in MOMENTS}
        columns[f"{kind}_histogram"] = _sparse(histogram.counts)
    columns |= {name: _best_column(getattr(partial, name)) for name in BEST}
    return columns | {"classes": _classes_column(partial.classes)}


def _sparse(counts: NDArray[np.integer]) -> Lists:
    there = counts != 0  # NumPy lists the true entries of an array many times faster than its nonzero ones
    entries = np.flatnonzero(there)
    buckets = (entries % counts.shape[1]).astype(np.int16)
    return Lists(there.sum(axis=1), {"bucket": buckets, "count": counts.reshape(-1)[entries]})


def _best_column(best: TopK, **more: Any) -> Lists:
    there = best.numbers != NONE
    values: dict[str, NDArray[Any]] = {"number": best.numbers, "value": best.values, "at": best.at}
    # Full lists, which are the most, are not copied.
    flat = {name: array.reshape(-1) if there.all() else array[there] for name, array in values.items()}
    return Lists(there.sum(axis=1), flat | more)


def _classes_column(classes: TopClasses) -> Lists:
    there = classes.best.numbers != NONE
    return _best_column(classes.best, label=[classes.labels[index] for index in classes.classes[there]])


def read_span(store: Store, path: str, layer: LayerSpec) -> tuple[str, int]:
    """Return the id of the first example of a partial's span, and the number of its examples."""
    columns = read_columns(store, path, ["first", "stop"], layer_index=layer.index)
    return str(columns["first"][0]), int(columns["stop"][0])


def read_partial(store: Store, path: str, layer: LayerSpec, config: ScanConfig, *, start: int) -> Partial:
    """Return the statistics of a layer from one partial, its lists as long as the configuration says.

    `start` is the number of its first example in the dataset.
    """
    names = [name for name in scan_schemas.PARTIALS.names if name not in ("layer_index", "layer", "channel", "first")]
    columns = read_columns(store, path, names, layer_index=layer.index)
    lengths = (config.top_k, config.bottom_k, config.spectrum_k, config.spectrum_k)
    best = {
        name: _best_of(columns[name], sign, k, start) for (name, sign), k in zip(BEST.items(), lengths, strict=True)
    }
    return Partial(
        start=start,
        stop=start + int(columns["stop"][0]),
        positions=columns["positions"],
        non_finite=columns["non_finite"],
        within=columns["within"],
        minimum=columns["minimum"],
        classes=_classes_of(columns["classes"], config.class_k, start),
        spatial_maximum=_moments_of(columns, "spatial_maximum"),
        spatial_mean=_moments_of(columns, "spatial_mean"),
        spatial_maximum_histogram=_histogram_of(columns["spatial_maximum_histogram"]),
        spatial_mean_histogram=_histogram_of(columns["spatial_mean_histogram"]),
        top=best["top"],
        bottom=best["bottom"],
        top_mean=best["top_mean"],
        bottom_mean=best["bottom_mean"],
    )


def _moments_of(columns: Mapping[str, Any], kind: str) -> Moments:
    return Moments(count=columns["count"], **{name: columns[f"{kind}_{name}"] for name in MOMENTS})


def _histogram_of(lists: Lists) -> Histogram:
    assert isinstance(lists.values, Mapping)
    counts = np.zeros((len(lists.lengths), BUCKETS), np.int64)
    rows = np.repeat(np.arange(len(counts)), lists.lengths)
    counts[rows, np.asarray(lists.values["bucket"])] = lists.values["count"]
    return Histogram(counts=counts)


def _rows_and_ranks(lists: Lists) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the row of each entry, and its rank within the row, counted from 0."""
    rows = np.repeat(np.arange(len(lists.lengths)), lists.lengths)
    starts = np.cumsum(lists.lengths) - lists.lengths
    return rows, np.arange(len(rows)) - starts[rows]


def _best_of(lists: Lists, sign: int, k: int, start: int) -> TopK:
    rows, ranks = _rows_and_ranks(lists)
    assert isinstance(lists.values, Mapping)
    best = TopK.empty(len(lists.lengths), k, sign=sign)
    best.values[rows, ranks] = lists.values["value"]
    best.numbers[rows, ranks] = np.asarray(lists.values["number"]) + start
    best.at[rows, ranks] = lists.values["at"]
    return best


def _classes_of(lists: Lists, k: int, start: int) -> TopClasses:
    rows, ranks = _rows_and_ranks(lists)
    assert isinstance(lists.values, Mapping)
    labels, classes = np.unique(np.asarray(lists.values["label"], dtype=np.str_), return_inverse=True)
    table = np.zeros((len(lists.lengths), k), np.int32)
    table[rows, ranks] = classes
    return TopClasses(labels=tuple(labels.tolist()), best=_best_of(lists, 1, k, start), classes=table)


def put_class_sums(store: Store, layers: Sequence[LayerSpec], sums: ClassSums, *, ids: Sequence[str]) -> FileEntry:
    """Write the class sums of a span with the examples `ids`.

    Each row of `sums` holds the channels of `layers`, one after the other.
    """
    classes = len(sums.labels)
    rows, lengths = classes * len(layers), np.repeat([layer.channels for layer in layers], classes)
    columns: dict[str, Column] = {
        "layer_index": np.repeat([layer.index for layer in layers], classes).astype(np.int32),
        "layer": [layer.name for layer in layers for _ in sums.labels],
        "start": np.zeros(rows, np.int64),
        "stop": np.full(rows, len(ids), np.int64),
        "first": [ids[0]] * rows,
        "label": list(sums.labels) * len(layers),
        "count": sums.counts.T.reshape(-1),
        "sum": Lists(lengths, _by_layer(sums.sums, layers)),
        "maximum_sum": Lists(lengths, _by_layer(sums.maximum_sums, layers)),
    }
    return put_columns(store, CLASSES, columns, scan_schemas.CLASS_SUMS)


def _by_layer(sums: NDArray[np.float64], layers: Sequence[LayerSpec]) -> NDArray[np.float64]:
    """Return sums, (classes, channels of all layers), laid flat, one layer after the other."""
    return np.concatenate([sums[:, part].reshape(-1) for part in channel_slices(layers)])


def read_class_sums(store: Store, path: str, layer: LayerSpec) -> tuple[str, ClassSums]:
    """Return the id of a span's first example, and the span's class sums for a layer."""
    columns = read_columns(store, path, ["first", "label", "count", "sum", "maximum_sum"], layer_index=layer.index)
    labels = tuple(columns["label"].tolist())
    sums, maximum_sums = (columns[name].values.reshape(-1, layer.channels) for name in ("sum", "maximum_sum"))
    counts = columns["count"][:, None]
    first = str(columns["first"][0]) if labels else ""
    return first, ClassSums(labels=labels, sizes=(layer.channels,), counts=counts, sums=sums, maximum_sums=maximum_sums)


def put_sample(store: Store, layers: Sequence[LayerSpec], sample: Sampled) -> FileEntry:
    """Write the sampled examples of a span, one layer after the other."""
    counts = [len(rows) for rows in sample.of_layers]
    lengths = np.repeat([layer.channels for layer in layers], counts)
    columns: dict[str, Column] = {
        "layer_index": np.repeat([layer.index for layer in layers], counts).astype(np.int32),
        "layer": [layer.name for layer, count in zip(layers, counts, strict=True) for _ in range(count)],
        "example_id": [sample.ids[row] for rows in sample.of_layers for row in rows],
        "label": [sample.labels[row] for rows in sample.of_layers for row in rows],
        "spatial_mean": Lists(lengths, sample.spatial_mean),
        "spatial_maximum": Lists(lengths, sample.spatial_maximum),
        "spatial_maximum_at": Lists(lengths, sample.spatial_maximum_at),
        "row": sample.vectors_at[:, 0],
        "column": sample.vectors_at[:, 1],
        "vector": Lists(lengths, sample.vectors),
        "centre": Lists(lengths, sample.centre),
    }
    return put_columns(store, SAMPLES, columns, scan_schemas.ACTIVATION_SAMPLES)


def read_sample(store: Store, paths: Iterable[str], layer: LayerSpec) -> Sample:
    """Return the sample of a layer from the shards of all spans, in the order of ids."""
    names = ("spatial_mean", "spatial_maximum", "spatial_maximum_at", "centre")
    shards = [read_columns(store, path, ["example_id", *names], layer_index=layer.index) for path in paths]
    ids = np.array([name for shard in shards for name in shard["example_id"].tolist()], dtype=object)
    order = np.argsort(ids, kind="stable")

    def matrix(name: str, type_: type) -> NDArray[Any]:
        parts = [shard[name].values.reshape(-1, layer.channels) for shard in shards]
        return np.concatenate([np.empty((0, layer.channels), type_), *parts])[order].astype(type_, copy=False)

    return Sample(
        ids=tuple(ids[order].tolist()),
        spatial_mean=matrix("spatial_mean", np.float32),
        spatial_maximum=matrix("spatial_maximum", np.float32),
        spatial_maximum_at=matrix("spatial_maximum_at", np.int32),
        centre=matrix("centre", np.float32),
    )


def put_examples(store: Store, ids: Sequence[str], labels: Sequence[str]) -> FileEntry:
    """Write the ids and labels of the examples of a span."""
    columns: dict[str, Column] = {
        "number": np.arange(len(ids), dtype=np.int64),
        "example_id": list(ids),
        "label": list(labels),
    }
    return put_columns(store, EXAMPLES, columns, scan_schemas.EXAMPLES)


def read_ids(store: Store, paths: Iterable[str]) -> list[NDArray[np.object_]]:
    """Return the ids of the examples of each span, (examples,), in the order of the spans."""
    spans = [read_columns(store, path, ["example_id"])["example_id"].astype(object) for path in paths]
    return sorted(spans, key=lambda ids: str(ids[0]))
