"""The tables are read by the tools that analysts use, images as images."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from network_atlas.analysis.atlas import open_atlas

EXPECTED_CHANNELS = 3 * 6


def test_duckdb_reads_the_atlas(atlas_root: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    rows = duckdb.sql(
        f"SELECT layer, channel, visualizations[1].score, examples[1].example_id, examples[1].crop.file "
        f"FROM '{atlas_root}/atlas/*.parquet' ORDER BY layer_index, channel"
    ).fetchall()
    assert len(rows) == EXPECTED_CHANNELS
    assert rows[0][0:2] == ("conv1", 0)
    assert rows[0][3].endswith(".png")
    assert (atlas_root / rows[0][4]).is_file()


def test_duckdb_reads_the_shards_behind_it(atlas_root: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    query = f"SELECT DISTINCT layer FROM '{atlas_root}/visualizations/*/*.parquet' ORDER BY layer"
    assert [name for (name,) in duckdb.sql(query).fetchall()] == ["conv1", "conv2", "conv3"]


def test_pandas_reads_the_atlas(atlas_root: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_parquet(atlas_root / "atlas")
    assert len(frame) == EXPECTED_CHANNELS
    assert set(frame["layer"]) == {"conv1", "conv2", "conv3"}
    assert frame["visualizations"][0][0]["variant"] == "channel+"


def test_polars_reads_the_atlas(atlas_root: Path) -> None:
    polars = pytest.importorskip("polars")
    frame = polars.read_parquet(f"{atlas_root}/atlas/*.parquet")
    assert frame.height == EXPECTED_CHANNELS
    scores = frame.explode("visualizations").unnest("visualizations")["score"]
    assert scores.len() == 2 * EXPECTED_CHANNELS


@pytest.mark.filterwarnings("default")
def test_hugging_face_shows_images_as_images(atlas_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    files = [str(path) for path in sorted((atlas_root / "visualizations").rglob("*.parquet"))]
    dataset = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path))
    assert len(dataset) == 2 * EXPECTED_CHANNELS
    assert isinstance(dataset.features["image"], datasets.Image)
    assert isinstance(dataset[0]["image"], Image.Image)
    assert dataset[0]["image"].size == (16, 16)
    examples = datasets.Dataset(open_atlas(str(atlas_root)).examples("conv1", crops=True))
    crops = examples.cast_column("crop", datasets.Image())
    assert isinstance(crops[0]["crop"], Image.Image)
