from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from conftest import quietly

from network_atlas.config.schema import RunConfig
from network_atlas.errors import ConfigError

WIDE = ["sweep.select.0.include=[conv2]", "sweep.select.0.channels=[1,4]"]


def pictures(root: Path) -> dict[str, dict[str, Any]]:
    rows = [row for path in sorted((root / "atlas").iterdir()) for row in pq.read_table(path).to_pylist()]
    return {f"{row['unit']} {shown['variant']}": shown for row in rows for shown in row["visualizations"]}


def test_pictures_take_their_starts_and_partners_from_the_scan(tiny: Callable[..., RunConfig], tmp_path: Path) -> None:
    kinds = ("channel", "channel, start: example", "channel, facets: 2", "coactive")
    variants = ", ".join(f"{{objective: {kind}}}" for kind in kinds)
    config = tiny(*WIDE, f"sweep.variants=[{variants}]", "optimize.steps=2")
    quietly(config)
    shards = [pq.read_table(path).to_pylist() for path in (tmp_path / "atlas" / "visualizations").rglob("*.parquet")]
    stored = {row["key"]: row["image"]["bytes"] for rows in shards for row in rows}
    images = {
        name.removeprefix("conv2:1 "): stored[picture["key"]]
        for name, picture in pictures(tmp_path / "atlas").items()
        if "conv2:1 " in name
    }
    assert list(images) == ["channel+", "channel+ from example", "channel+ facet-0", "channel+ facet-1", "coactive+"]
    assert len(set(images.values())) == 5
    labels = {row["unit"] for rows in shards for row in rows if row["variant"] == "coactive+"}
    assert all(label.startswith(("conv2:1 + conv2:", "conv2:4 + conv2:")) for label in labels)


def test_more_facets_than_examples_are_refused_before_any_work(tiny: Callable[..., RunConfig]) -> None:
    with pytest.raises(ConfigError, match=r"raise scan\.top_k"):
        tiny(*WIDE, "sweep.variants=[{objective: channel, facets: 5}]")
