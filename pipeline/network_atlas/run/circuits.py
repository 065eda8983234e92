"""Find the files of a snapshot from which the pages of a layer show where its channels look and what drives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from network_atlas.layers import LayerSpec
from network_atlas.plan.tasks import CircuitFiles
from network_atlas.store.manifest import Manifest
from network_atlas.store.paths import EDGES, attributions_directory, ends_of_edges


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
