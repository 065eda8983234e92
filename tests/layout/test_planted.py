"""A map by UMAP: images of five kinds lie in five regions, the same every time, and icons excite their cells.

The same of fewer vectors, quicker: `test_projection.py` and `test_maps.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import needs, quietly
from layout.icons import assert_icons_excite_their_cells
from PIL import Image

from network_atlas.layout.projection import project
from network_atlas.layout.vectors import read_vectors
from network_atlas.layout.worker import LayoutWorker
from network_atlas.plan.layouts import layout_tasks
from network_atlas.run.inputs import StoredFiles
from network_atlas.run.prepare import prepare
from network_atlas.store.results import what_is_done

KINDS = ("red", "green", "blue", "columns", "checks")
EACH = 16


def planted(folder: Path) -> Path:
    """Write images of five kinds, each with noise of its own."""
    generator = np.random.default_rng(4)
    rows, columns = np.indices((16, 16))
    patterns = [
        *(np.eye(3)[number] * np.ones((16, 16, 1)) for number in range(3)),
        np.repeat((columns % 2)[:, :, None], 3, axis=2),
        np.repeat(((rows // 4 + columns // 4) % 2)[:, :, None], 3, axis=2) * [1, 1, 0],
    ]
    for kind, pattern in zip(KINDS, patterns, strict=True):
        for number in range(EACH):
            noisy = 200 * pattern + generator.uniform(0, 55, (16, 16, 3))
            Image.fromarray(noisy.astype(np.uint8)).save(folder / f"{number:02d}_{kind}.png")
    return folder


def purity(points: np.ndarray, labels: list[str], neighbours: int = 5) -> float:
    """Return the share of the nearest neighbours on the map that are of a point's own kind."""
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    nearest = np.argsort(distances, axis=1)[:, 1 : neighbours + 1]
    kinds = np.array(labels)
    return float((kinds[nearest] == kinds[:, None]).mean())


@pytest.mark.exhaustive
@pytest.mark.timeout(1200)
@needs("umap")
def test_planted_kinds_lie_in_regions_of_their_own(composed_maps: Any, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    root = tmp_path / "atlas"
    config = composed_maps(
        f'dataset.root="{planted(tmp_path / "images")}"',
        f'store.root="{root}"',
        'layout.layers=["conv2","conv3"]',
        "layout.grids=[8]",
        "layout.fewest=4",
        "recipes.icon.steps=64",
        "recipes.icon.coarse=0",
        "optimize/transform@recipes.icon.transform=none",  # the images are too small to be moved
    )
    quietly(config)
    rows = {
        layer: pq.ParquetFile(next((root / "layouts").glob(f"*{layer}/*.parquet"))).read().to_pylist()
        for layer in ("conv2", "conv3")
    }
    for points in rows.values():
        assert len(points) > len(KINDS) * EACH
        assert (
            purity(np.array([[row["x"], row["y"]] for row in points]), [row["label"] for row in points]) > 0.75
        )  # by chance .2
    assert_regions_can_be_followed(rows)
    assert_icons_excite_their_cells(config, root, at_least=5)
    assert_the_same_again(config, root)


def assert_regions_can_be_followed(rows: dict[str, list[dict[str, Any]]]) -> None:
    """An image lies in much the same places of both maps: less than half as far apart as two images by chance."""
    places = [{(row["example_id"], row["drawn"]): (row["x"], row["y"]) for row in points} for points in rows.values()]
    both = sorted(set(places[0]) & set(places[1]))
    first, second = (np.array([place[name] for name in both]) for place in places)
    generator = np.random.default_rng(0)
    by_chance = np.mean([np.linalg.norm(first - generator.permutation(second), axis=1).mean() for _ in range(20)])
    assert np.linalg.norm(first - second, axis=1).mean() < 0.5 * by_chance


def assert_the_same_again(config: Any, root: Path) -> None:
    """The same sample gives the same bits: the shards, named by their content, are there already."""
    prepared = prepare(config)
    before = {path.name for folder in ("layouts", "cells") for path in (root / folder).rglob("*.parquet")}
    done = what_is_done(prepared.store)
    for task in layout_tasks(prepared.plan, done=(), inputs=StoredFiles(prepared, done)):
        receipt = LayoutWorker(config).run(task)
        assert {file.path.rsplit("/", 1)[-1] for file in receipt.files} <= before
        assert len(read_vectors(prepared.store, task.scan_files, task.layer)) > 80


@pytest.mark.slow
@needs("umap")
def test_an_aligned_map_keeps_apart_what_lies_apart_on_the_other_and_keeps_its_own_regions(composed_maps: Any) -> None:
    """Vectors of five kinds; on the other map half of each kind lies to the left, half to the right."""
    generator = np.random.default_rng(7)
    kinds, is_right = np.arange(250) % 5, np.arange(250) // 5 % 2
    values = (4 * np.eye(20)[kinds] + 0.5 * generator.normal(size=(250, 20))).astype(np.float32)
    places = np.stack([0.25 + 0.5 * is_right, np.full(250, 0.5)], axis=1) + 0.1 * generator.normal(size=(250, 2))

    def laid_out(weight: float) -> tuple[float, float]:
        """Return how much further right a kind's right half lies than its left, in its spread; the purity of kinds."""
        config = composed_maps(f"layout.alignment={weight}").layout
        points = project(values, places.astype(np.float32), config, aligned=True)
        of_kinds = [(points[kinds == kind, 0], is_right[kinds == kind]) for kind in range(len(KINDS))]
        shifts = [(x[side == 1].mean() - x[side == 0].mean()) / x.std() for x, side in of_kinds]
        return float(np.mean(shifts)), purity(points, [KINDS[kind] for kind in kinds])

    assert laid_out(0)[0] < 0.3
    shift, pure = laid_out(0.3)
    assert shift > 0.6
    assert pure > 0.95
