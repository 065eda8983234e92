"""Flat tables and single units of an atlas."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import quietly
from PIL import Image

from network_atlas import open_atlas
from network_atlas.analysis.atlas import Atlas
from network_atlas.config.schema import RunConfig
from network_atlas.errors import StoreError


@pytest.fixture(scope="module")
def atlas(retrained_root: Path) -> Atlas:
    return open_atlas(str(retrained_root))


def test_channels_are_flat_rows_with_what_the_nested_tables_say(atlas: Atlas) -> None:
    rows = {(row["layer"], row["channel"]): row for row in atlas.channels().to_pylist()}
    assert len(rows) == 8 + 12 + 6
    for nested in atlas.table("channel_stats").to_pylist():
        row = rows[nested["layer"], nested["channel"]]
        assert row["maximum"] == nested["maximum"]
        assert row["spatial_mean_skewness"] == nested["spatial_mean"]["skewness"]
        assert (row["top_example_id"], row["top_value"]) == tuple(
            nested["examples"][0][name] for name in ("example_id", "value")
        )
        assert (row["status"] is None) == (nested["channel"] >= 6)
    for nested in atlas.table("atlas").to_pylist():
        row = rows[nested["layer"], nested["channel"]]
        main = nested["visualizations"][0]
        assert (row["unit"], row["status"]) == (nested["unit"], nested["status"])
        assert {row[name] for name in ("picture_key",)} == {main["key"]}
        assert all(row[name] == main[name] for name in ("variant", "score", "percentile", "rank", "picture_status"))


def test_pictures_and_examples_are_one_row_each(atlas: Atlas, images: Path) -> None:
    nested = atlas.table("atlas").to_pylist()
    pictures = atlas.pictures(images=True).to_pylist()
    stored = {row["key"]: row["image"] for row in atlas.table("visualizations").to_pylist()}
    expected = [
        (row["unit"], picture["key"], stored[picture["key"]]) for row in nested for picture in row["visualizations"]
    ]
    assert [(row["unit"], row["picture_key"], row["image"]) for row in pictures] == expected
    assert "image" not in atlas.pictures().column_names
    examples = atlas.examples().to_pylist()
    assert len(examples) == sum(len(row["examples"]) for row in atlas.table("channel_stats", ["examples"]).to_pylist())
    assert all(row["source"] == str(images / row["example_id"]) for row in examples)


def test_the_source_of_an_example_keeps_the_options_of_a_uri_behind_its_path(atlas: Atlas) -> None:
    def source(root: str) -> str | None:
        config: Any = atlas.manifest.provenance["config"]
        changed = config | {"dataset": config["dataset"] | {"source": "folder", "root": root}}
        provenance = {**atlas.manifest.provenance, "config": changed}
        return replace(atlas, manifest=replace(atlas.manifest, provenance=provenance)).source("cats/1.png")

    address = "?endpoint_override=host:9000&scheme=http"
    assert source(f"s3://bucket/photos/{address}") == f"s3://bucket/photos/cats/1.png{address}"
    assert source("/data/which?/") == "/data/which?/cats/1.png"


def test_examples_come_with_their_crops_and_whole_images(atlas: Atlas, images: Path) -> None:
    rows = atlas.examples("conv2", crops=True).to_pylist()
    nested = [row for row in atlas.table("atlas").to_pylist() if row["layer"] == "conv2"]
    assert [row["example_id"] for row in rows] == [each["example_id"] for row in nested for each in row["examples"]]
    assert {row["layer"] for row in atlas.examples("conv2").to_pylist()} == {"conv2"}
    unit = atlas.unit("conv2:3")
    first = next(row for row in rows if row["unit"] == "conv2:3")
    with Image.open(io.BytesIO(first["crop"]["bytes"])) as crop:
        assert crop.size == unit.crops()[0].size
    (whole, *_) = unit.images()
    assert whole is not None
    with Image.open(images / first["example_id"]) as original:
        assert whole.size == original.size, "it is smaller than assemble.image_px"
        difference = np.asarray(whole, float) - np.asarray(original.convert("RGB"), float)
    assert abs(difference).mean() < 12


def test_every_column_is_described(atlas: Atlas) -> None:
    rows = atlas.describe().to_pylist()
    described = {(row["table"], row["column"]): row for row in rows}
    for name, table in {"channels()": atlas.channels(), "pictures()": atlas.pictures()}.items():
        assert all(described[name, column]["description"] for column in table.column_names)
    assert described["atlas", "visualizations.score"]["unit"] == "activation"
    assert described["channels()", "spatial_mean_mean"]["description"] == (
        "the mean of the channel's map, per example: mean over examples"
    )
    top = [row for row in rows if "." not in row["column"]]
    assert [row["column"] for row in top if not row["description"]] == []


def test_a_unit_shows_its_pictures_crops_and_numbers(atlas: Atlas) -> None:
    unit = atlas.unit("conv2:3")
    assert (unit.label, unit.variants) == ("conv2:3", ("channel+", "neuron+"))
    assert atlas.image("conv2:3", "neuron+").size == unit.picture().size == (16, 16)
    assert len(unit.crops()) == 4
    page = unit._repr_html_()
    assert page.count("data:image/png") == 2
    assert page.count("data:image/webp") == len(unit.row["examples"])
    png = unit._repr_png_()
    assert png is not None
    assert png.startswith(b"\x89PNG")


def test_names_are_text_in_a_notebook_never_markup(atlas: Atlas) -> None:
    unit = atlas.unit("conv2:3")
    hostile = '"><script>alert(1)</script>'
    row = {**unit.row, "unit": hostile, "class_name": hostile, "status": hostile}
    row["examples"] = [{**example, "example_id": hostile, "label": hostile} for example in unit.row["examples"]]
    page = replace(unit, row=row)._repr_html_()
    assert "<script" not in page
    assert page.count('"><') == page.count('px"><')


def test_what_an_atlas_lacks_is_named(atlas: Atlas) -> None:
    with pytest.raises(StoreError, match=r"no unit 'conv2:33'.*Did you mean 'conv2:3'"):
        atlas.unit("conv2:33")
    with pytest.raises(StoreError, match=r"no picture 'channel-'; it has channel\+, neuron\+"):
        atlas.image("conv2:3", "channel-")
    with pytest.raises(StoreError, match=r"no layer 'conv9'"):
        atlas.activations("conv9")


def test_tables_of_an_earlier_version_are_refused_with_the_column_and_the_fix(finished: Path) -> None:
    atlas = open_atlas(str(finished))
    for file in atlas.manifest.under("tables/channel_stats"):
        whole = pq.read_table(finished / file.path)
        pq.write_table(whole.drop_columns(["name"]), finished / file.path)
    with pytest.raises(StoreError, match=r"lacks the column 'name': an earlier version .* Run the same command again"):
        atlas.channels()
    assert atlas.table("channel_stats", ["name"]).column("name").null_count > 0


def test_an_atlas_without_a_dataset_has_channels_too(tiny: Callable[..., RunConfig], tmp_path: Path) -> None:
    quietly(
        tiny(
            "dataset=none", "dataset.label=none", "dataset.root=", "sweep.select.0.include=[conv2]", "optimize.steps=1"
        )
    )
    atlas = open_atlas(str(tmp_path / "atlas"))
    table = atlas.channels()
    assert table.column("unit").to_pylist() == [f"conv2:{number}" for number in range(6)]
    assert table.column("maximum").null_count == 6
    assert (atlas.examples().num_rows, atlas.pictures().num_rows) == (0, 12)
