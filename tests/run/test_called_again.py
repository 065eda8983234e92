"""Whole runs of networks whose modules run more than once in a forward pass."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from conformance import plain_outputs
from conftest import quietly
from torch import Tensor

from network_atlas.analysis.atlas import open_atlas
from network_atlas.cli.commands.sheet import shown_rows
from network_atlas.config.schema import RunConfig
from network_atlas.dataset import Preprocessing, open_source
from network_atlas.errors import ConfigError, StoreError
from network_atlas.models.load import load_model

CALLS = ("step#2", "step#4")


@pytest.fixture
def config(tiny: Callable[..., RunConfig]) -> RunConfig:
    return tiny(
        "model.name=called_again:Loop",
        f"sweep.select.0.include=['{CALLS[0]}','{CALLS[1]}']",
        'sweep.select.0.channels="0:2"',
        "sweep.combine=[{unit: 'step#2:1 - 0.5*step#4:0'}]",
    )


def test_each_call_has_its_own_numbers_pictures_and_page(config: RunConfig, tmp_path: Path) -> None:
    assert quietly(config).manifest.number == 1
    root = tmp_path / "atlas"
    paths = sorted((root / "atlas").iterdir())
    assert [path.name for path in paths] == ["layer=0002-step_2.parquet", "layer=0004-step_4.parquet"]
    ids, plain = by_hooks(config)
    for name, path in zip(CALLS, paths, strict=True):
        rows = pq.read_table(path).to_pylist()
        assert {row["layer"] for row in rows} == {name}
        for row in (row for row in rows if row["channel"] is not None and row["examples"]):
            maxima = plain[name][:, row["channel"]].amax((1, 2))
            assert row["maximum"] == pytest.approx(float(maxima.max()), abs=1e-4)
            best = next(example for example in row["examples"] if example["kind"] == "top")
            assert best["example_id"] == ids[int(maxima.argmax())]
        units = {row["unit"] for row in rows}
        assert {f"{name}:0", f"{name}:1"} <= units
        pictures = pq.read_table(root / "visualizations" / f"layer_slug={path.stem.partition('=')[2]}").to_pylist()
        made = {picture["key"] for picture in pictures if picture["image"]["bytes"]}
        assert {picture["key"] for row in rows for picture in row["visualizations"]} == made
    pages(root / "site")
    assert quietly(config).manifest.number == 1  # a second run finds everything


def by_hooks(config: RunConfig) -> tuple[list[str], dict[str, Tensor]]:
    """Return the ids of the dataset's images, and what each call returns for these."""
    source, preprocessing = open_source(config.dataset), Preprocessing(config.model.input)
    ids = [example.example_id for example in source.examples()]
    pixels = torch.from_numpy(np.stack([preprocessing.apply(source.read(name)) for name in ids]))
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (config.model.input.mean, config.model.input.std))
    images = (pixels.permute(0, 3, 1, 2).float() / 255 - mean) / std
    return ids, plain_outputs(load_model(config.model), images)


def pages(site: Path) -> None:
    """Check that the front page names the calls, and that all of its links lead to files."""
    front = (site / "index.html").read_text()
    assert all(name in front for name in CALLS)
    links = re.findall(r'href="([^"#][^"]*\.html)"', front)
    assert links == ["compare.html", "columns.html", "layers/0002-step_2.html", "layers/0004-step_4.html"]
    assert all((site / urllib.parse.unquote(link)).is_file() for link in links)


def test_a_sheet_takes_one_call(config: RunConfig, tmp_path: Path) -> None:
    quietly(config)
    root = str(tmp_path / "atlas")
    rows = shown_rows(open_atlas(root), layers=["step#4"], units=2)
    assert [row["layer"] for row in rows] == ["step#4"] * 2
    with pytest.raises(
        StoreError, match="'step' runs more than once in a pass; its calls are the layers step#2, step#4"
    ):
        shown_rows(open_atlas(root), layers=["step"], units=2)


def test_a_unit_of_the_module_alone_is_refused_with_its_calls(
    config: RunConfig, tiny: Callable[..., RunConfig]
) -> None:
    wrong = tiny("model.name=called_again:Loop", "sweep.select.0.include=[stem]", "sweep.combine=[{unit: 'step:1'}]")
    with pytest.raises(ConfigError, match=r"its calls are the layers step#1, step#2 \.\.\. step#5"):
        quietly(wrong)
