"""The images of pictures, which stand in `visualizations/` alone, by the keys that other tables name them by.

pictures = StoredPictures.of(store, manifest, layer)
pictures.filled(rows)          # rows of `atlas`, each of whose pictures has `image` and `opacity` too
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from network_atlas.layers import LayerSpec
from network_atlas.store.manifest import Manifest
from network_atlas.store.paths import visualizations_directory
from network_atlas.store.root import Store
from network_atlas.store.shards import read_leaves

Row = dict[str, Any]
IMAGES = ("image", "opacity")


class StoredPictures:
    """Knows in which file each picture stands; reads those that are asked for."""

    def __init__(self, store: Store, files: Iterable[str]) -> None:
        self._store = store
        self._files = {
            key: path for path in files for key in read_leaves(store, path, ["key"]).column("key").to_pylist()
        }

    @classmethod
    def of(cls, store: Store, manifest: Manifest, layer: LayerSpec) -> StoredPictures:
        """Return the pictures of a layer in a snapshot."""
        return cls(store, [file.path for file in manifest.under(visualizations_directory(layer))])

    def filled(self, rows: Iterable[Mapping[str, Any]]) -> list[Row]:
        """Return rows of `atlas`, each of whose pictures also has its `image` and its `opacity`."""
        listed = list(rows)
        images = self._read([picture["key"] for row in listed for picture in row["visualizations"] or ()])
        return [
            {**row, "visualizations": [{**shown, **images[shown["key"]]} for shown in row["visualizations"] or ()]}
            for row in listed
        ]

    def _read(self, keys: Sequence[str]) -> dict[str, Row]:
        """Return `image` and `opacity` by key; each file is read once. Raises KeyError for a key that is in no file."""
        by_file: dict[str, list[str]] = {}
        for key in dict.fromkeys(keys):
            by_file.setdefault(self._files[key], []).append(key)
        images: dict[str, Row] = {}
        for path, of_file in by_file.items():
            table = read_leaves(self._store, path, ["key", *IMAGES])
            wanted = set(of_file)
            # Not by a filter: Arrow loads pandas to take a list of values, which costs a command .4 s.
            for number, key in enumerate(table.column("key").to_pylist()):
                if key in wanted:
                    (row,) = table.slice(number, 1).select(IMAGES).to_pylist()
                    images[key] = row
        return images
