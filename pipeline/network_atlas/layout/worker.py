"""The layout worker: lays out the sampled vectors of one layer, divides the map into cells, commits both."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from network_atlas.config.schema import RunConfig
from network_atlas.layers import LayerSpec
from network_atlas.layout.cells import EXAMPLES, GridCell, cells_of
from network_atlas.layout.directions import find
from network_atlas.layout.projection import Points, partners, project, start_positions
from network_atlas.layout.vectors import Vectors, read_vectors
from network_atlas.layout.whitening import shrunk_second_moment, whitened
from network_atlas.plan.layouts import grid_sizes
from network_atlas.plan.tasks import DirectionsTask, LayoutTask
from network_atlas.store import layout_schemas
from network_atlas.store.columns import read_columns
from network_atlas.store.paths import layout_directory
from network_atlas.store.receipts import Receipt, commit
from network_atlas.store.root import Store
from network_atlas.store.shards import put_shard

Row = dict[str, Any]
DECIMALS = 6
"""Of directions: further digits differ between kinds of processors."""


class LayoutWorker:
    """Lays out maps. Needs no model and no torch."""

    def __init__(self, config: RunConfig, *, threads: int = 0) -> None:
        self._config = config
        self._store = Store.open(config.store.root)

    def run(self, task: LayoutTask | DirectionsTask) -> Receipt:
        """Lay out one layer, or find its directions, and commit the result."""
        return self._find(task) if isinstance(task, DirectionsTask) else self._lay_out(task)

    def _find(self, task: DirectionsTask) -> Receipt:
        """Find the directions of one layer and commit them."""
        started, config = time.monotonic(), self._config.sweep.directions
        with threadpool_limits(limits=1):  # sums of matrix products have the same order everywhere
            values = read_vectors(self._store, task.scan_files, task.layer).values
            found = find(values, config.count, method=config.method, seed=config.seed, layer=task.layer.name)
        rows = [
            {
                "layer_index": task.layer.index,
                "layer": task.layer.name,
                "directions": task.key,
                "name": f"{config.method.replace('_', '-')}-{number}",
                "method": config.method,
                "vector": np.round(found.vectors[number].astype(np.float32), DECIMALS).tolist(),
                "members": int(found.members[number]),
                "stability": round(float(found.stability[number]), DECIMALS),
            }
            for number in range(len(found.vectors))
        ]
        file = put_shard(self._store, layout_directory("directions", task.layer), rows, layout_schemas.DIRECTIONS)
        seconds = time.monotonic() - started
        receipt = Receipt(stage="layout", task=task.id, keys=task.keys, files=(file,), seconds=seconds)
        return commit(self._store, receipt)

    def _lay_out(self, task: LayoutTask) -> Receipt:
        """Lay out one layer and commit where each vector lies, and the cells."""
        started = time.monotonic()
        with threadpool_limits(limits=1):  # sums of matrix products have the same order everywhere
            vectors, points, cells = self._map(task)
        layer, store = task.layer, self._store
        places = put_shard(
            store, layout_directory("layouts", layer), _point_rows(task, vectors, points), layout_schemas.LAYOUTS
        )
        rows = [_cell_row(task, cell, direction, vectors) for cell, direction in cells]
        described = put_shard(store, layout_directory("cells", layer), rows, layout_schemas.CELLS)
        seconds = time.monotonic() - started
        receipt = Receipt(stage="layout", task=task.id, keys=task.keys, files=(places, described), seconds=seconds)
        return commit(store, receipt)

    def _map(self, task: LayoutTask) -> tuple[Vectors, Points, list[tuple[GridCell, Any]]]:
        config = self._config.layout
        vectors = read_vectors(self._store, task.scan_files, task.layer)
        if not len(vectors):
            return vectors, np.empty((0, 2), np.float32), []
        points = project(vectors.values, self._start(task, vectors), config, aligned=bool(task.reference_file))
        grids = grid_sizes(config.grids, len(vectors))
        cells = [cell for grid in grids for cell in cells_of(vectors, points, grid, config.fewest)]
        if not cells:
            return vectors, points, []
        moment = shrunk_second_moment(vectors.values)
        directions = whitened(np.stack([cell.mean for cell in cells]), moment)
        return vectors, points, list(zip(cells, directions, strict=True))

    def _start(self, task: LayoutTask, vectors: Vectors) -> Points:
        if not task.reference_file:
            return start_positions(vectors.values)
        places = read_columns(self._store, task.reference_file, ["example_id", "drawn", "x", "y"])
        names = list(zip(places["example_id"].tolist(), places["drawn"].tolist(), strict=True))
        return partners(vectors.names, names, np.stack([places["x"], places["y"]], axis=1))


def _names(layer: LayerSpec, key: str) -> Row:
    return {"layer_index": layer.index, "layer": layer.name, "layout": key}


def _point_rows(task: LayoutTask, vectors: Vectors, points: Points) -> list[Row]:
    return [
        {
            **_names(task.layer, task.key),
            "example_id": vectors.ids[number],
            "label": vectors.labels[number],
            "row": int(vectors.at[number, 0]),
            "column": int(vectors.at[number, 1]),
            "drawn": vectors.names[number][1],
            "x": float(x),
            "y": float(y),
        }
        for number, (x, y) in enumerate(points)
    ]


def _cell_row(task: LayoutTask, cell: GridCell, direction: Any, vectors: Vectors) -> Row:
    return {
        **_names(task.layer, task.key),
        "vectors": len(vectors),
        "images": len(set(vectors.ids)),
        "grid": cell.grid,
        "row": cell.row,
        "column": cell.column,
        "count": len(cell.members),
        "labels": [{"label": label, "count": count} for label, count in cell.labels],
        "mean": cell.mean.tolist(),
        "direction": direction.tolist(),
        "examples": list(_examples(cell, vectors)),
    }


def _examples(cell: GridCell, vectors: Vectors) -> Iterator[Row]:
    for member, cosine in zip(cell.members[:EXAMPLES], cell.cosines, strict=False):
        row, column = vectors.at[member].tolist()
        yield {
            "example_id": vectors.ids[member],
            "label": vectors.labels[member],
            "row": row,
            "column": column,
            "cosine": cosine,
        }
