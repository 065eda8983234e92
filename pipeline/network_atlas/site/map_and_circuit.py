"""The parts of a layer's pages that not every layer has: its map, and what drives its channels.

Which a snapshot has follows from its list of files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from network_atlas.layers import LayerSpec
from network_atlas.plan.tasks import CircuitFiles, MapLinks
from network_atlas.site.circuit_data import SCRIPTS, circuit_files
from network_atlas.site.map_pages import map_files
from network_atlas.site.packing import Files, Row
from network_atlas.site.pages import AtlasInfo, assets
from network_atlas.store.manifest import Manifest
from network_atlas.store.paths import (
    EDGES,
    activation_atlas_directory,
    attributions_directory,
    ends_of_edges,
)
from network_atlas.store.root import Store
from network_atlas.store.shards import read_rows


def map_links(manifest: Manifest, layers: Sequence[LayerSpec]) -> dict[str, MapLinks]:
    """Return the table of each layer's map and the maps before and behind it, by the layer's name; only mapped ones."""
    files = {layer.name: manifest.under(activation_atlas_directory(layer)) for layer in layers}
    mapped = [layer for layer in layers if files[layer.name]]
    around = [None, *mapped, None]
    return {
        layer.name: MapLinks(table=table.path, cells=table.rows, previous=around[number], following=around[number + 2])
        for number, layer in enumerate(mapped)
        for table in files[layer.name][:1]
    }


def circuits(manifest: Manifest, layers: Sequence[LayerSpec]) -> Mapping[str, CircuitFiles]:
    """Return the files of each layer that has any, by its name: those of its own edges, and of edges that end in it."""
    ends = [(file.path, ends_of_edges(file.path)) for file in manifest.under(EDGES)]
    found = {
        layer.name: CircuitFiles(
            attributions=tuple(file.path for file in manifest.under(attributions_directory(layer))),
            down=tuple((end[1], path) for path, end in ends if end and end[0] == layer.slug),
            up=tuple((end[0], path) for path, end in ends if end and end[1] == layer.slug),
        )
        for layer in layers
    }
    return {name: files for name, files in found.items() if files.attributions or files.up}


def map_pages(store: Store, info: AtlasInfo, layer: LayerSpec, links: MapLinks) -> Files:
    """Return the files of a layer's map, by path below `site/`."""
    return map_files(info, layer, read_rows(store, links.table), links)


def circuit_pages(store: Store, layer: LayerSpec, rows: Sequence[Row], files: CircuitFiles) -> Files:
    """Return the files about what drives the channels of a layer's `rows`, by path below `site/`."""
    attributions = [row for path in files.attributions for row in read_rows(store, path)]
    down, up = (_edges(store, ends) for ends in (files.down, files.up))
    return circuit_files(layer, rows, attributions=attributions, down=down, up=up) | assets(SCRIPTS)


def _edges(store: Store, files: Iterable[tuple[str, str]]) -> dict[str, list[Row]]:
    """Return the rows of files of edges by the slug of the layer at their other end."""
    rows: dict[str, list[Row]] = {}
    for slug, path in files:
        rows.setdefault(slug, []).extend(read_rows(store, path))
    return rows
