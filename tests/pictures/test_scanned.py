from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import quietly
from hypothesis import example, given
from hypothesis import strategies as st

from network_atlas.config.schema import RunConfig
from network_atlas.errors import ConfigError
from network_atlas.pictures.scanned import clusters

WIDE = ["sweep.select.0.include=[conv2]", "sweep.select.0.channels=[1,4]"]


@given(st.integers(1, 5), st.integers(0, 2**16))
@example(5, 4122)  # giving one cluster a row must not empty another
def test_every_cluster_has_members_and_the_largest_comes_first(count: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    features = generator.integers(0, 3, (8, 2)).astype(np.float64)
    labels = clusters(features, count)
    sizes = np.bincount(labels, minlength=count)
    assert (sizes > 0).all()
    assert (np.diff(sizes) <= 0).all()
    assert np.array_equal(labels, clusters(features, count))


def test_clusters_that_lie_apart_are_found() -> None:
    features = np.array([[0.0, 0], [10, 0], [0, 0.1], [10, 0.2], [0.1, 0], [0, 10]])
    assert clusters(features, 3).tolist() == [0, 1, 0, 1, 0, 2]


def pictures(root: Path) -> dict[str, dict[str, Any]]:
    rows = [row for path in sorted((root / "atlas").iterdir()) for row in pq.read_table(path).to_pylist()]
    return {f"{row['unit']} {one['variant']}": one for row in rows for one in row["visualizations"]}


def test_pictures_take_their_starts_and_partners_from_the_scan(tiny: Callable[..., RunConfig], tmp_path: Path) -> None:
    kinds = ("channel", "channel, start: example", "channel, facets: 2", "coactive")
    variants = ", ".join(f"{{objective: {kind}}}" for kind in kinds)
    config = tiny(*WIDE, f"sweep.variants=[{variants}]", "optimize.steps=2")
    quietly(config)
    found = pictures(tmp_path / "atlas")
    images = {name.removeprefix("conv2:1 "): one["image"]["bytes"] for name, one in found.items() if "conv2:1 " in name}
    assert list(images) == ["channel+", "channel+ from example", "channel+ facet-0", "channel+ facet-1", "coactive+"]
    assert len(set(images.values())) == 5
    shards = [pq.read_table(path).to_pylist() for path in (tmp_path / "atlas" / "visualizations").rglob("*.parquet")]
    labels = {row["unit"] for rows in shards for row in rows if row["variant"] == "coactive+"}
    assert all(label.startswith(("conv2:1 + conv2:", "conv2:4 + conv2:")) for label in labels)


def test_more_facets_than_examples_are_refused_before_any_work(tiny: Callable[..., RunConfig]) -> None:
    with pytest.raises(ConfigError, match=r"raise scan\.top_k"):
        tiny(*WIDE, "sweep.variants=[{objective: channel, facets: 5}]")
