"""The activation vectors of a layer that the scan's sample holds, each with its image and position.

Of each sampled image there are two: at a position drawn by its hash, and at the layer's centre. Where both are the same
position, as in layers with a single one, there is one. A vector of zeros has no direction, and is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, Int32
from numpy.typing import NDArray

from network_atlas.layers import LayerSpec
from network_atlas.stats.files import SAMPLES
from network_atlas.store.columns import read_columns
from network_atlas.store.root import Store

Matrix = Float32[NDArray[np.float32], "vectors channels"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Vectors:
    """Activation vectors of one layer, in the order of the images' ids."""

    ids: tuple[str, ...]
    labels: tuple[str, ...]
    """'' where unknown."""
    at: Int32[NDArray[np.int32], "vectors 2"]
    """Row and column."""
    values: Matrix
    names: tuple[tuple[str, bool], ...]
    """The image of each, and whether the vector is that at its drawn position: the same in all layers."""

    def __len__(self) -> int:
        return len(self.ids)


def read_vectors(store: Store, paths: Iterable[str], layer: LayerSpec) -> Vectors:
    """Return the vectors of a layer from the scan's files of all spans."""
    samples = [path for path in paths if path.startswith(f"{SAMPLES}/")]
    names = ["example_id", "label", "row", "column", "vector", "centre"]
    shards = [read_columns(store, path, names, layer_index=layer.index) for path in samples]
    drawn = np.concatenate([np.stack([shard["row"], shard["column"]], axis=1) for shard in shards])
    ids, labels = ([text for shard in shards for text in shard[name].tolist()] for name in ("example_id", "label"))
    centre = np.full_like(drawn, layer.centre)
    values = np.concatenate([_matrix(shards, "vector", layer), _matrix(shards, "centre", layer)])
    is_another = (drawn != centre).any(axis=1)
    kept = np.concatenate([np.ones(len(ids), bool), is_another]) & values.any(axis=1)
    # A stable sort: of one image, the vector at the drawn position comes first.
    order = [number for number in np.argsort(np.array(ids * 2, dtype=object), kind="stable").tolist() if kept[number]]
    return Vectors(
        ids=tuple((ids * 2)[number] for number in order),
        labels=tuple((labels * 2)[number] for number in order),
        at=np.concatenate([drawn, centre])[order].astype(np.int32),
        values=values[order],
        names=tuple(((ids * 2)[number], number < len(ids)) for number in order),
    )


def _matrix(shards: Sequence[dict[str, Any]], name: str, layer: LayerSpec) -> Matrix:
    parts = [shard[name].values.reshape(-1, layer.channels) for shard in shards]
    return np.concatenate(parts).astype(np.float32, copy=False)
