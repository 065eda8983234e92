"""Warm starts: after a training, pictures start from those of the last snapshot, and each says from which."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from conftest import quietly
from tiny_network import build

from network_atlas.config.schema import RunConfig

Pictures = Mapping[tuple[str, str], Mapping[str, Any]]


@pytest.fixture
def trained(tiny: Callable[..., RunConfig], tmp_path: Path) -> Callable[..., Pictures]:
    """Return a function that runs with a checkpoint whose `conv2` was scaled, and returns the atlas's pictures."""

    def run(factor: float, *overrides: str) -> Pictures:
        model = build()
        model.conv2.weight.mul_(factor)
        torch.save(model.state_dict(), path := tmp_path / f"{factor}.pt")
        quietly(tiny(f"model.weights={path}", *overrides))
        rows = [
            row for table in sorted((tmp_path / "atlas/atlas").iterdir()) for row in pq.read_table(table).to_pylist()
        ]
        return {(row["unit"], picture["variant"]): picture for row in rows for picture in row["visualizations"]}

    return run


def test_pictures_of_new_weights_start_from_the_last_snapshots(trained: Callable[..., Pictures]) -> None:
    cold = trained(1.0)
    warm = trained(1.1, "optimize.warm_steps=2")
    assert {picture["started_from"] for picture in cold.values()} == {None}
    for subject, picture in warm.items():
        before = cold[subject]
        if before["picture_status"] != "ok" or subject[0].startswith("conv1:"):  # conv1 is before what changed
            assert picture["started_from"] is None
            continue
        assert picture["started_from"] == before["key"]
        assert (picture["start"], picture["steps"]) == ("predecessor", 2) or picture["attempt"] == 2
    assert {unit.split(":")[0] for (unit, _), picture in warm.items() if picture["started_from"]} == {"conv2", "conv3"}
    # They are better than two steps from noise, and nothing is left to do.
    short = trained(1.2, "optimize.steps=2", "store.allow_changes=true")
    gains = [warm[s]["score"] - short[s]["score"] for s in warm if warm[s]["start"] == "predecessor"]
    assert sum(gain > 0 for gain in gains) > 0.8 * len(gains)


def test_a_run_again_and_old_weights_make_nothing(trained: Callable[..., Pictures], tmp_path: Path) -> None:
    cold = trained(1.0, "optimize.warm_steps=2")
    warm = trained(1.1, "optimize.warm_steps=2")
    files = sorted((tmp_path / "atlas" / "visualizations").rglob("*.parquet"))
    assert trained(1.1, "optimize.warm_steps=2") == warm
    assert len(list((tmp_path / "atlas" / "manifests").iterdir())) == 2
    assert trained(1.0, "optimize.warm_steps=2") == cold
    assert sorted((tmp_path / "atlas" / "visualizations").rglob("*.parquet")) == files
    again = trained(1.3, "optimize.warm_steps=2")
    assert {picture["started_from"] for picture in again.values()} <= {None, *(each["key"] for each in cold.values())}
