from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from conftest import quietly, write_images
from PIL import Image
from tiny_network import build

from network_atlas import open_atlas
from network_atlas.calibrate.worker import CalibrateWorker
from network_atlas.config.schema import RunConfig
from network_atlas.dataset import Preprocessing
from network_atlas.errors import DatasetError
from network_atlas.plan.calibration import calibrate_tasks
from network_atlas.run.inputs import StoredFiles
from network_atlas.run.prepare import prepare
from network_atlas.store.results import what_is_done
from network_atlas.store.root import Store

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


def test_every_picture_is_measured_from_what_is_stored(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    stored = open_atlas(str(tmp_path / "atlas")).table("visualizations").to_pylist()
    images = {row["key"]: row["image"]["bytes"] for row in stored}
    for row in rows:
        for shown in row["visualizations"]:
            means = maps_of(images[shown["key"]])
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


def test_an_example_that_can_no_longer_be_read_fails_the_measurement_and_says_which(
    tiny: Callable[..., RunConfig], tmp_path: Path
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    write_images(folder)
    config = tiny(*SELECTED, f'dataset.root="{folder}"')
    prepared = prepare(config)
    quietly(config)
    done = what_is_done(Store.open(config.store.root))
    (task, *_) = calibrate_tasks(prepared.plan, done.optimize, set(), StoredFiles(prepared, done))
    worker = CalibrateWorker(config, threads=1)
    assert worker.run(task).keys == task.keys
    for path in folder.iterdir():
        path.write_bytes(b"")
    with pytest.raises(DatasetError, match=r"class\d_\d\d.png.*the scan could read it.*retry_failed=true"):
        worker.run(task)


WHOLE = ["sweep.select.0.include=[conv2]", "sweep.select.0.channels=[0]", "optimize.steps=8"]


def test_directions_are_compared_with_the_images_that_excite_them(
    tiny: Callable[..., RunConfig], tmp_path: Path, images: Path
) -> None:
    variants = (
        "sweep.variants=[{objective: direction, directions: 2}, {objective: direction, directions: 2, sign: '-'}]"
    )
    config = tiny(*WHOLE, variants)
    quietly(config)
    (table,) = (tmp_path / "atlas" / "atlas").iterdir()
    rows = [row for row in pq.read_table(table).to_pylist() if row["channel"] is None]
    assert len(rows) == 2
    units = {picture.unit.label: picture.readable for picture in prepare(config).plan.layers[0].pictures}
    for row in rows:
        values = values_of_images(units[row["unit"]], config, images)
        top = [example for example in row["examples"] if example["kind"] == "top_mean"]
        bottom = [example for example in row["examples"] if example["kind"] == "bottom_mean"]
        assert [example["example_id"] for example in top] == sorted(values, key=lambda name: -values[name])[:4]
        assert [example["example_id"] for example in bottom] == sorted(values, key=lambda name: values[name])[:4]
        assert all(example["value"] == pytest.approx(values[example["example_id"]], abs=1e-5) for example in top)
        assert all(example["label"] for example in row["examples"])
        assert all((tmp_path / "atlas" / example["crop"]["file"]).is_file() for example in row["examples"])
        for shown in row["visualizations"]:
            sign = -1 if shown["variant"].startswith("direction-") else 1
            below = [sign * value < sign * shown["score"] for value in values.values()]
            assert shown["percentile"] == pytest.approx(100 * np.mean(below))


def values_of_images(unit: Any, config: RunConfig, images: Path) -> dict[str, float]:
    """Return the direction's value on every image, by its formula."""
    model, vector, values = build(), np.array(unit.vector), {}
    for path in sorted(images.iterdir()):
        pixels = (
            torch.from_numpy(Preprocessing(config.model.input).apply(Image.open(path))).permute(2, 0, 1)[None] / 255
        )
        mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
        std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
        columns = model.conv2(torch.relu(model.conv1((pixels - mean) / std)))[0].flatten(1).double().numpy()
        dots = vector @ columns
        cosines = dots / (np.linalg.norm(vector) * np.linalg.norm(columns, axis=0))
        values[path.name] = float((dots * np.maximum(cosines, 0.1) ** unit.cosine_power).mean())
    return values


def test_sums_and_layers_have_examples_and_interpolations_a_percentile(
    tiny: Callable[..., RunConfig], tmp_path: Path
) -> None:
    extra = ["sweep.combine=[{unit: 'conv2:0 + conv2:1'}]", "sweep.interpolate=[{first: 'conv2:0', last: 'conv2:1'}]"]
    quietly(tiny(*WHOLE, "sweep.variants=[{objective: layer}]", *extra))
    (table,) = (tmp_path / "atlas" / "atlas").iterdir()
    rows = {row["unit"]: row for row in pq.read_table(table).to_pylist() if row["channel"] is None}
    assert {unit: len(row["examples"]) for unit, row in rows.items()} == {
        "conv2:*": 8,
        "conv2:0 + conv2:1": 8,
        "conv2:0 → conv2:1": 0,
    }
    for row in rows.values():
        assert all(shown["percentile"] is not None for shown in row["visualizations"])
