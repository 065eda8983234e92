from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import quietly

from network_atlas.config.schema import RunConfig
from network_atlas.dataset import Preprocessing, open_source
from network_atlas.errors import MergeError
from network_atlas.pictures.colours import colour_matrix
from network_atlas.stats.images import IMAGES, merge_images

LITTLE = ["sweep.select.0.include=[conv1]", "sweep.select.0.channels=[0]", "optimize.steps=1"]


def statistics(root: Path) -> dict[str, Any]:
    (file,) = (root / "statistics").rglob("*.parquet")
    (row,) = pq.read_table(file).to_pylist()
    return row


def brute_force(config: RunConfig) -> dict[str, np.ndarray]:
    source, preprocessing = open_source(config.dataset), Preprocessing(config.model.input)
    images = [preprocessing.apply(source.read(example.example_id)) / 255 for example in source.examples()]
    inverse = np.linalg.inv(colour_matrix().double().numpy())
    planes = [np.einsum("cr,hwr->chw", inverse, image - 0.5) for image in images]
    pixels = np.concatenate([image.reshape(-1, 3) for image in images])
    return {
        "magnitude": np.mean([np.abs(np.fft.rfft2(plane, norm="ortho")) for plane in planes], axis=0),
        "colour_mean": pixels.mean(axis=0),
        "colour_covariance": np.cov(pixels.T, bias=True),
    }


def test_the_images_own_statistics_are_those_of_all_images_in_memory(
    tiny: Callable[..., RunConfig], tmp_path: Path
) -> None:
    quietly(tiny(*LITTLE))
    row = statistics(tmp_path / "atlas")
    assert (row["count"], row["examples"], row["height"], row["width"]) == (12, 12, 16, 16)
    assert "images" in row["dataset"]
    for name, expected in brute_force(tiny()).items():
        assert np.array(row[name]) == pytest.approx(expected.flatten(), rel=1e-4, abs=1e-5)


def test_batches_spans_and_layers_change_nothing(tiny: Callable[..., RunConfig], tmp_path: Path) -> None:
    roots = [tmp_path / name for name in ("one", "two", "three")]
    quietly(tiny(*LITTLE, root=roots[0]))
    quietly(tiny(*LITTLE, "scan.batch=1", root=roots[1]))
    quietly(tiny("sweep.select.0.include=[conv2]", "optimize.steps=1", "scan.span=3", root=roots[2]))
    first, second, third = map(statistics, roots)
    assert first == second
    for name in ("magnitude", "colour_mean", "colour_covariance"):
        assert third[name] == pytest.approx(first[name], rel=1e-6, abs=1e-9)


def test_so_many_images_are_enough(tiny: Callable[..., RunConfig], tmp_path: Path) -> None:
    quietly(tiny(*LITTLE, "dataset.views=40"))
    row = statistics(tmp_path / "atlas")
    assert IMAGES <= row["count"] <= 1.2 * IMAGES
    assert row["examples"] == 480


def test_a_wider_sweep_looks_at_the_images_of_a_span_once(tiny: Callable[..., RunConfig], tmp_path: Path) -> None:
    quietly(tiny(*LITTLE))
    before = sorted((tmp_path / "atlas" / "scan" / "dataset").iterdir())
    quietly(tiny("sweep.select.0.include=[conv1, conv2]", "optimize.steps=1"))
    assert sorted((tmp_path / "atlas" / "scan" / "dataset").iterdir()) == before


def test_pictures_take_the_magnitude_of_the_dataset(tiny: Callable[..., RunConfig], tmp_path: Path) -> None:
    maco = ["optimize/parameterization=maco", "optimize.ascent=nadam", "optimize.learning_rate=1.0", "optimize.steps=8"]
    quietly(tiny(*LITTLE, *maco))
    (table,) = (tmp_path / "atlas" / "atlas").iterdir()
    (row,) = pq.read_table(table).to_pylist()
    assert {shown["picture_status"] for shown in row["visualizations"]} <= {"ok", "weak"}  # of eight steps
    assert row["visualizations"][0]["frequency_distance"] < 0.2


def test_a_missing_span_is_said() -> None:
    part = {"count": 1, "height": 1, "width": 1, "channels": 1}
    sums = {name: [1.0] for name in ("magnitude_sum", "colour_sum", "colour_product_sum")}
    rows = [{"first": first, "start": 0, "stop": 2, **part, **sums} for first in ("a", "e")]
    with pytest.raises(MergeError, match="cover 4 examples, the dataset has 6"):
        merge_images(rows, examples=6)
