"""One snapshot of an atlas, to be read.

atlas = open_atlas("atlases/resnet50")               # or "s3://bucket/atlas", snapshot=3
atlas.number, atlas.manifest.created, atlas.layers
atlas.table("channel_stats", columns=["layer", "channel", "maximum"])   # a pyarrow Table
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from network_atlas.analysis import tables
from network_atlas.layers import LayerSpec, ReceptiveField
from network_atlas.store.manifest import Manifest, read_manifest
from network_atlas.store.root import Store


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

    @property
    def specs(self) -> tuple[LayerSpec, ...]:
        """Return the layers as values, in order of execution."""
        return tuple(map(_spec, self.table("layers").to_pylist()))


def _spec(row: dict[str, Any]) -> LayerSpec:
    field, sizes = row["receptive_field"], ("type", "channels", "height", "width", "tokens", "receptive_field_px")
    return LayerSpec(
        index=row["layer_index"],
        name=row["layer"],
        receptive_field=ReceptiveField(**{name: tuple(pair) for name, pair in field.items()}) if field else None,
        **{name: row[name] for name in sizes},
    )


def open_atlas(root: str, snapshot: int | None = None) -> Atlas:
    """Return a snapshot of the atlas under `root`, the newest one by default.

    Raises StoreError if there is none of that number, and names those that there are.
    """
    store = Store.open(root)
    return Atlas(store=store, manifest=read_manifest(store, snapshot))
