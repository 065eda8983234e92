from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from conftest import quietly
from PIL import Image
from tiny_network import build

from network_atlas.config.schema import RunConfig

SEEDS = "sweep.variants=[{objective: channel}, {objective: channel, seed: 1}, {objective: channel, sign: '-'}]"
SELECTED = ["sweep.select.0.include=[conv2]", "sweep.select.0.channels=[0,1,2]", SEEDS, "optimize.steps=24"]


@pytest.fixture
def rows(tiny: Callable[..., RunConfig], tmp_path: Path) -> list[dict[str, Any]]:
    quietly(tiny(*SELECTED))
    (table,) = (tmp_path / "atlas" / "atlas").iterdir()
    return pq.read_table(table).to_pylist()


def maps_of(data: bytes) -> np.ndarray:
    image = torch.from_numpy(np.asarray(Image.open(io.BytesIO(data))).copy()).permute(2, 0, 1)[None].float() / 255
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    model = build()
    return model.conv2(torch.relu(model.conv1((image - mean) / std)))[0].mean(dim=(1, 2)).numpy()


def test_every_picture_is_measured_from_what_is_stored(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        for shown in row["visualizations"]:
            means = maps_of(shown["image"]["bytes"])
            sign = -1 if shown["variant"].startswith("channel-") else 1
            assert shown["rank"] == 1 + int((sign * means > sign * means[row["channel"]]).sum())
            assert shown["score"] == pytest.approx(float(means[row["channel"]]), abs=1e-4)


def test_pictures_of_live_channels_have_all_numbers(rows: list[dict[str, Any]]) -> None:
    shown = rows[1]["visualizations"][0]
    assert -1 < shown["robustness_loss"] < 1
    assert shown["frequency_distance"] > 0
    assert shown["curve"][-1]["step"] == shown["steps"] == 24


def test_seeds_are_compared_with_each_other_only(rows: list[dict[str, Any]]) -> None:
    first, second, minimized = rows[1]["visualizations"]
    assert first["agreement"] == pytest.approx(second["agreement"])
    assert 0.5 < first["agreement"] <= 1
    assert minimized["agreement"] is None


def test_a_dead_channel_is_tried_again_and_called_so(rows: list[dict[str, Any]]) -> None:
    assert rows[2]["status"] == "dead"
    assert {shown["picture_status"] for shown in rows[2]["visualizations"]} == {"dead"}


def test_a_new_scan_measures_again_and_makes_no_picture_again(
    tiny: Callable[..., RunConfig], tmp_path: Path, images: Path
) -> None:
    quietly(tiny(*SELECTED))
    pictures = sorted(path.name for path in (tmp_path / "atlas" / "visualizations").rglob("*.parquet"))
    measured = set((tmp_path / "atlas" / "calibrations").rglob("*.parquet"))
    quietly(tiny(*SELECTED, "dataset.limit=8", "store.allow_changes=true"))
    assert sorted(path.name for path in (tmp_path / "atlas" / "visualizations").rglob("*.parquet")) == pictures
    assert measured < set((tmp_path / "atlas" / "calibrations").rglob("*.parquet"))
