"""The pages of any snapshot, made from its tables when a browser asks for them; nothing is written to the root.

    pages = SnapshotPages(open_atlas(root, 3))
    pages.read("site/index.html")

Only the newest snapshot has its pages in the root: they can always be made again.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from network_atlas.analysis.atlas import Atlas
from network_atlas.analysis.stored_pictures import StoredPictures
from network_atlas.errors import StoreError
from network_atlas.layers import LayerSpec
from network_atlas.site.circuit_data import SCRIPTS
from network_atlas.site.map_and_circuit import circuit_pages, circuits, map_links, map_pages
from network_atlas.site.map_pages import ASSETS
from network_atlas.site.pages import AtlasInfo, assets, layer_files
from network_atlas.site.server import PagesGoneError
from network_atlas.site.worker import atlas_info, index_of, layer_info
from network_atlas.store.manifest import manifest_path
from network_atlas.store.paths import EXAMPLE_IMAGES, PAGES, atlas_directory
from network_atlas.store.shards import read_rows

LAYERS_AT_ONCE = 3
"""Layers whose pages are kept in memory: the one that is looked at, and its neighbours. A map counts as a layer."""
MAPS = "maps/"
"""Stands before the layer whose map is meant."""


class SnapshotPages:
    """Has the files below `site/` as a store has them."""

    def __init__(self, atlas: Atlas) -> None:
        self._atlas = atlas
        self._specs = {spec.slug: spec for spec in atlas.specs}
        self._made: OrderedDict[str, dict[str, bytes]] = OrderedDict()
        layers, manifest = list(self._specs.values()), atlas.manifest
        self._maps, self._circuits = map_links(manifest, layers), circuits(manifest, layers)
        self._lock = threading.Lock()  # a page asks for all of its files at the same time

    def exists(self, path: str) -> bool:
        """Say whether there is a file of that name."""
        return self._atlas.store.exists(path) if _is_example_image(path) else path in self._files(path)

    def read(self, path: str) -> bytes:
        """Return a file. Raises PagesGoneError if the snapshot was pruned since."""
        if _is_example_image(path):
            return self._atlas.store.read(path)  # tables of any snapshot name these, so that they stay
        return self._files(path)[path]

    def _files(self, path: str) -> Mapping[str, bytes]:
        """Return the files that are made together with the one at `path`."""
        with self._lock:
            slug = self._slug(path)
            return {} if slug is None else self._of(slug)

    def _slug(self, path: str) -> str | None:
        """Return the layer that a file is made with, with MAPS before it if it is one of its map.

        '' stands for those of no layer, None for a file of none.
        """
        name = path.removeprefix(f"{PAGES}/layers/")
        if name != path:
            return next((slug for slug in self._specs if _belongs(name, slug)), None)
        name = path.removeprefix(f"{PAGES}/{MAPS}")
        if name == path:
            return ""
        mapped = [slug for slug, spec in self._specs.items() if spec.name in self._maps]
        return next((f"{MAPS}{slug}" for slug in mapped if _belongs(name, slug)), None)

    def _of(self, slug: str) -> Mapping[str, bytes]:
        if slug not in self._made:
            made = {f"{PAGES}/{file}": data for file, data in self._make(slug).items()}
            self._made[slug] = made
            for old in [slug for slug in self._made if slug][:-LAYERS_AT_ONCE]:
                del self._made[old]
        return self._made[slug]

    def _make(self, slug: str) -> dict[str, bytes]:
        """Return the files of a layer, or those of no layer. Raises PagesGoneError if the snapshot was pruned since."""
        try:
            if slug.startswith(MAPS):
                return self._map(self._specs[slug.removeprefix(MAPS)])
            return self._layer(self._specs[slug]) if slug else self._index()
        except StoreError as error:
            number, store = self._atlas.number, self._atlas.store
            if store.exists(manifest_path(number)):
                raise
            raise PagesGoneError(
                f"snapshot {number} of {store.root!r} was pruned while its pages were open, so they can't be made any "
                f"more. The newest snapshot: atlas view {store.root}; those that are left: atlas snapshots {store.root}"
            ) from error

    def _index(self) -> dict[str, bytes]:
        files = index_of(self._atlas.store, list(self._specs.values()), self._atlas.manifest)
        return files | (assets(ASSETS) if self._maps else {}) | (assets(SCRIPTS) if self._circuits else {})

    def _map(self, spec: LayerSpec) -> dict[str, bytes]:
        return map_pages(self._atlas.store, self._info(), spec, self._maps[spec.name])

    def _info(self) -> AtlasInfo:
        config: Any = self._atlas.manifest.provenance["config"]
        return atlas_info(config)

    def _layer(self, spec: LayerSpec) -> dict[str, bytes]:
        (table,) = self._atlas.manifest.under(atlas_directory(spec))
        specs = list(self._specs.values())
        previous = next((before for before, after in pairwise(specs) if after == spec), None)
        following = next((after for before, after in pairwise(specs) if before == spec), None)
        upstream = self._atlas.manifest.upstream.get(spec.name, "")
        info = layer_info(self._info(), table=table.path, upstream=upstream)
        pictures = StoredPictures.of(self._atlas.store, self._atlas.manifest, spec)
        rows, circuit = pictures.filled(read_rows(self._atlas.store, table.path)), self._circuits.get(spec.name)
        links = self._maps.get(spec.name)
        files = layer_files(info, spec, rows, previous, following, links=links, has_circuit=circuit is not None)
        return files | (circuit_pages(self._atlas.store, spec, rows, circuit) if circuit else {})


def _is_example_image(path: str) -> bool:
    return path.startswith(f"{EXAMPLE_IMAGES}/")


def _belongs(name: str, slug: str) -> bool:
    return name in (f"{slug}.html", f"{slug}.js") or name.startswith(f"{slug}/")
