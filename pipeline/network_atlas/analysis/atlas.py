"""One snapshot of an atlas, to be read.

atlas = open_atlas("atlases/resnet50")               # or "s3://bucket/atlas", snapshot=3
atlas.number, atlas.manifest.created, atlas.layers
atlas.table("channel_stats", columns=["layer", "channel", "maximum"])   # a pyarrow Table
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from network_atlas.analysis import flat, tables
from network_atlas.analysis.describe import describe
from network_atlas.analysis.example_files import ExampleFiles
from network_atlas.analysis.stored_pictures import StoredPictures
from network_atlas.analysis.unit import Unit
from network_atlas.errors import StoreError, did_you_mean
from network_atlas.files.filesystems import split_query
from network_atlas.layers import LayerSpec, layer_of_row
from network_atlas.store.manifest import Manifest, read_manifest
from network_atlas.store.paths import atlas_directory
from network_atlas.store.root import Store
from network_atlas.store.shards import read_where

UNDECODABLE = "\ufffd"
"""Stands in ids for bytes of a file's name that are no Unicode."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Atlas:
    """One snapshot of an atlas."""

    store: Store
    manifest: Manifest

    @property
    def root(self) -> str:
        """Return the root as it was given."""
        return self.store.root

    @property
    def number(self) -> int:
        """Return the number of the snapshot."""
        return self.manifest.number

    @property
    def tables(self) -> tuple[str, ...]:
        """Return the names of the tables."""
        return tuple(tables.FOLDERS)

    def table(
        self, name: str, columns: Sequence[str] | None = None, *, layers: Sequence[str] | None = None
    ) -> pa.Table:
        """Return a table of this snapshot, or some of its columns, or the rows of some layers.

        Raises StoreError for a table or a column that does not exist, CorruptShardError for a damaged file.
        """
        return tables.read(self.store, self.manifest, name, columns=columns, layers=layers)

    @property
    def layers(self) -> tuple[str, ...]:
        """Return the names of the layers, in order of execution."""
        return tuple(self.table("layers", ["layer"]).column("layer").to_pylist())

    def channels(self) -> pa.Table:
        """Return one flat row per channel, selected or not: status, its first picture's measurements, statistics."""
        return flat.channels(self.store, self.manifest)

    def pictures(self, *, images: bool = False) -> pa.Table:
        """Return one flat row per picture; with `images`, its PNG too."""
        return flat.pictures(self.store, self.manifest, images=images)

    def examples(self, layer: str | None = None, *, crops: bool = False) -> pa.Table:
        """Return one flat row per channel and example, with the path or URI of the image where it is a file.

        With `crops`, those that the pages show, of all layers or one: each with its `crop` as WebP, with `image`, the
        stored file of the whole image, and with `crop_file` and the edges of the crop in it.
        Raises StoreError for a layer that the atlas does not have.
        """
        self._check_layer(layer)
        if crops:
            return flat.shown_examples(self.store, self.manifest, self.source, layer)
        table = flat.examples(self.store, self.manifest, self.source)
        return table if layer is None else table.filter(pc.field("layer") == layer)

    def edges(self, layer: str | None = None) -> pa.Table:
        """Return one row per edge between channels, of all layers or from the channels of one to those just before.

        Empty where nothing was attributed. Raises StoreError for a layer that the atlas does not have.
        """
        self._check_layer(layer)
        return self.table("edges", layers=None if layer is None else [layer])

    def activations(self, layer: str) -> pa.Table:
        """Return the kept sample of a layer: one row per example, with the values of all channels as lists.

        Raises StoreError for a layer that the atlas does not have.
        """
        self._check_layer(layer)
        return self.table("activation_samples", layers=[layer])

    def _check_layer(self, layer: str | None) -> None:
        if layer is not None and layer not in self.layers:
            raise StoreError(f"{self.root!r} has no layer {layer!r}.{did_you_mean(layer, self.layers)}")

    def unit(self, label: str) -> Unit:
        """Return a unit by its label, such as 'conv2:3' or 'logit:5'; at the end of a notebook's cell it shows itself.

        Raises StoreError if the atlas has none of that label.
        """
        for spec in self.specs:
            for file in self.manifest.under(atlas_directory(spec)):
                for row in read_where(self.store, file.path, "unit", label):
                    (filled,) = StoredPictures.of(self.store, self.manifest, spec).filled([row])
                    return Unit(row=filled, files=ExampleFiles(self.store))
        labels = self.table("atlas", ["unit"]).column("unit").to_pylist()
        raise StoreError(f"{self.root!r} has no unit {label!r}, such as {labels[0]!r}.{did_you_mean(label, labels)}")

    def image(self, label: str, variant: str | None = None) -> Image.Image:
        """Return a picture of a unit, the first one by default. Raises StoreError if there is none."""
        return self.unit(label).picture(variant)

    def describe(self) -> pa.Table:
        """Return the name, type, unit and meaning of every column of every table, nested ones by dotted path."""
        empty = replace(self, manifest=replace(self.manifest, files=()))  # the columns alone: nothing is read
        made = {"channels()": empty.channels(), "pictures()": empty.pictures(), "examples()": empty.examples()}
        return describe({**tables.SCHEMAS, **{name: table.schema for name, table in made.items()}})

    def source(self, example_id: str) -> str | None:
        """Return the path or URI of an example's image; None where the dataset is not a folder of files."""
        config: Any = self.manifest.provenance["config"]
        dataset = config["dataset"]
        if dataset["source"] != "folder" or UNDECODABLE in example_id:
            return None
        name = example_id.rpartition("#")[0] if dataset["views"] > 1 else example_id
        root, query = split_query(dataset["root"])
        return f"{root.rstrip('/')}/{name}{query}"

    @property
    def specs(self) -> tuple[LayerSpec, ...]:
        """Return the layers as values, in order of execution."""
        return tuple(map(layer_of_row, self.table("layers").to_pylist()))


def open_atlas(root: str, snapshot: int | None = None) -> Atlas:
    """Return a snapshot of the atlas under `root`, the newest one by default.

    Raises StoreError if there is none of that number, and names those that there are.
    """
    store = Store.open(root)
    return Atlas(store=store, manifest=read_manifest(store, snapshot))
