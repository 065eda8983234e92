"""One side of a diff: a snapshot, read layer by layer.

side = open_side("atlases/resnet50@2")          # or without a number: the newest one
side.layers["layer4.1"], side.statistics(layer), side.sample(layer), side.records(layer)
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from network_atlas.analysis.stored_pictures import StoredPictures
from network_atlas.errors import StoreError
from network_atlas.layers import LayerSpec, layer_of_row
from network_atlas.rerun.distributions import Buckets
from network_atlas.stats.files import EXAMPLES, SAMPLES, read_sample
from network_atlas.stats.sample import Sample
from network_atlas.store.columns import Lists, read_columns
from network_atlas.store.manifest import LISTED, Manifest, numbers, read_manifest
from network_atlas.store.paths import LAYERS_DIRECTORY, atlas_directory, statistics_directory
from network_atlas.store.root import Store
from network_atlas.store.shards import FileEntry, read_row_groups, read_rows

RECORD = (
    *("channel", "unit", "class_name", "status"),
    *(f"visualizations.list.element.{name}" for name in ("key", "variant")),
    *(f"examples.list.element.{name}" for name in ("kind", "example_id", "label", "crop")),
)
"""The parts of a joined row that are compared and shown."""
PICTURES = ("channel", *(f"visualizations.list.element.{name}" for name in ("key", "variant", "objective")))
ROWS_AT_ONCE = 64
"""Rows whose pictures are in memory at a time."""
VARIANTS = ("channel", "visualizations.list.element.variant")
KINDS = ("spatial_maximum", "spatial_mean")
SNAPSHOT = re.compile(r"(?P<root>.+)@(?P<number>\d+)")
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A channel statistic over images: arrays are (channels,)."""

    variance: Floats
    histograms: Sequence[Buckets]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """The statistics of all channels of a layer, in their order; arrays are (channels,)."""

    dead: NDArray[np.bool_]
    mean: Floats
    variance: Floats
    spreads: Mapping[str, Spread]
    """By kind: spatial maximum, spatial mean."""
    top: Sequence[Sequence[str]]
    """Per channel: the ids of its top examples, best first."""


class Side:
    """A snapshot of an atlas. Nothing of it is kept in memory but the list of its layers."""

    def __init__(self, store: Store, manifest: Manifest) -> None:
        self.store, self.manifest = store, manifest

    @property
    def root(self) -> str:
        return self.store.root

    @property
    def number(self) -> int:
        return self.manifest.number

    @cached_property
    def layers(self) -> dict[str, LayerSpec]:
        """The layers by name, in order of execution."""
        files = self.manifest.under(LAYERS_DIRECTORY)
        layers = [layer_of_row(row) for file in files for row in read_rows(self.store, file.path)]
        return {layer.name: layer for layer in sorted(layers, key=lambda layer: layer.index)}

    @property
    def examples(self) -> frozenset[str]:
        """The files that list the examples. They are named by their content."""
        return frozenset(file.path for file in self.manifest.under(EXAMPLES))

    def example_ids(self) -> set[str]:
        """Return the ids of all examples of the dataset."""
        files = sorted(self.examples)
        return {
            name for path in files for name in read_columns(self.store, path, ["example_id"])["example_id"].tolist()
        }

    def tables(self, layer: LayerSpec) -> list[FileEntry]:
        """Return the files with the layer's joined rows and with its channels' statistics."""
        return [*self.manifest.under(atlas_directory(layer)), *self.manifest.under(statistics_directory(layer))]

    def statistics(self, layer: LayerSpec) -> Statistics | None:
        """Return the statistics of a layer, or None if the atlas was made without a dataset."""
        files = self.manifest.under(statistics_directory(layer))
        if not files or not files[0].rows:
            return None
        names = ["dead", "mean", "variance", *KINDS, "examples"]
        columns = read_columns(self.store, files[0].path, names)
        return Statistics(
            dead=np.asarray(columns["dead"], bool),
            mean=columns["mean"],
            variance=columns["variance"],
            spreads={kind: _spread(columns[kind]) for kind in KINDS},
            top=_top(columns["examples"]),
        )

    def sample(self, layer: LayerSpec) -> Sample | None:
        """Return the activations of the layer on the sampled images, or None without any."""
        groups = [group for group in self.manifest.scans if layer.name in group.layers]
        paths = [path for group in groups for path in group.files if path.startswith(f"{SAMPLES}/")]
        return read_sample(self.store, paths, layer) if paths else None

    def variants(self, layer: LayerSpec) -> list[str]:
        """Return the variants of the layer's first channel that has pictures."""
        for file in self.manifest.under(atlas_directory(layer)):
            for rows in read_row_groups(self.store, file.path, VARIANTS):
                for row in rows:
                    if row["channel"] is not None and row["visualizations"]:
                        return [picture["variant"] for picture in row["visualizations"]]  # type: ignore[attr-defined]
        return []

    def pictures(self, layer: LayerSpec, variant: str) -> Iterator[tuple[int, bytes]]:
        """Yield the channels of a layer and their pictures of a variant whose score is a channel's mean, as PNGs."""
        for file in self.manifest.under(atlas_directory(layer)):
            for rows in self._filled(layer, read_row_groups(self.store, file.path, PICTURES)):
                yield from _pictures(rows, variant)

    def records(self, layer: LayerSpec) -> Iterator[dict[str, Any]]:
        """Yield the joined rows of a layer's channels, some at a time: status, pictures, best examples."""
        for file in self.manifest.under(atlas_directory(layer)):
            for rows in self._filled(layer, read_row_groups(self.store, file.path, RECORD)):
                yield from (row for row in rows if row["channel"] is not None)

    def _filled(
        self, layer: LayerSpec, groups: Iterable[Sequence[Mapping[str, Any]]]
    ) -> Iterator[list[dict[str, Any]]]:
        """Yield rows with the images of their pictures, few at a time."""
        pictures = StoredPictures.of(self.store, self.manifest, layer)
        for rows in groups:
            for start in range(0, len(rows), ROWS_AT_ONCE):
                yield pictures.filled(rows[start : start + ROWS_AT_ONCE])


def _spread(columns: Mapping[str, Any]) -> Spread:
    lists: Lists = columns["histogram"]
    assert isinstance(lists.values, Mapping)
    ends = np.cumsum(lists.lengths)
    parts = [np.asarray(lists.values[name], np.float64) for name in ("low", "high", "count")]
    histograms = [
        Buckets(*(part[end - length : end] for part in parts)) for end, length in zip(ends, lists.lengths, strict=True)
    ]
    return Spread(variance=columns["variance"], histograms=histograms)


def _pictures(rows: Sequence[Mapping[str, Any]], variant: str) -> Iterator[tuple[int, bytes]]:
    for row in rows:
        if row["channel"] is not None:
            for picture in row["visualizations"] or ():
                if picture["variant"] == variant and picture["objective"] == "channel":
                    yield row["channel"], picture["image"]["bytes"]


def _top(examples: Lists) -> list[list[str]]:
    """Return the ids of each channel's top examples, best first."""
    assert isinstance(examples.values, Mapping)
    rows = np.repeat(np.arange(len(examples.lengths)), examples.lengths)
    is_top = np.asarray(examples.values["kind"]) == "top"
    order = np.lexsort((np.asarray(examples.values["rank"])[is_top], rows[is_top]))
    names = np.asarray(examples.values["example_id"])[is_top][order].tolist()
    counts = np.bincount(rows[is_top], minlength=len(examples.lengths))
    return [names[end - count : end] for end, count in zip(np.cumsum(counts).tolist(), counts.tolist(), strict=True)]


def open_side(text: str) -> Side:
    """Return the snapshot that a text such as 'atlases/resnet50@2' names; without a number the newest one.

    Raises StoreError if there is none.
    """
    root, number = named(text)
    store = Store.open(root)
    if not numbers(store):
        raise StoreError(_no_snapshot(store, text))
    return Side(store, read_manifest(store, number))


def _no_snapshot(store: Store, text: str) -> str:
    """Return why nothing can be read where a text points to."""
    root, mark, end = text.rpartition("@")
    if mark and root and (there := numbers(Store.open(root))):
        listed = ", ".join(map(str, there[-LISTED:]))
        return (
            f"{text!r}: after '@' comes the number of a snapshot, not {end!r}; {root!r} has {listed}. "
            f"Write for example {root}@{there[-1]}"
        )
    if store.is_local and not os.path.isdir(store.base):
        return (
            f"{store.root!r} does not exist. Name the root of an atlas, such as atlases/resnet50, or one of its "
            "snapshots: atlases/resnet50@2 (`atlas snapshots ROOT` lists them)"
        )
    return f"{store.root!r} has no snapshot yet; make one with: atlas run store.root={store.root}"


def named(text: str) -> tuple[str, int | None]:
    """Return the root and the number that a text names, None for the newest snapshot."""
    parts = SNAPSHOT.fullmatch(text)
    return (parts["root"], int(parts["number"])) if parts else (text, None)
