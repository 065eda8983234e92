"""A unit with two meanings, planted: each group of its examples gets a picture of what drives the unit there."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import two_meanings
from conftest import INLINE, quietly, watched_page
from PIL import Image
from two_meanings import BLUE, RED

from network_atlas import open_atlas
from network_atlas.analysis.atlas import Atlas
from network_atlas.config.compose import compose
from network_atlas.config.schema import RunConfig
from network_atlas.models.load import normalize, ready
from network_atlas.plan.pictures import Picture
from network_atlas.run.prepare import prepare
from network_atlas.run.status import read_status

import torch  # isort: skip

SIZES = [f"model.input.{name}=16" for name in ("height", "width", "resize")]
RUN = [
    *("model=function", "model.name=two_meanings:build", "model.allow_code=true", *SIZES, *INLINE),
    *("model.input.mean=[0.5, 0.5, 0.5]", "model.input.std=[0.25, 0.25, 0.25]"),
    *("dataset=folder", "dataset.label=name", "scan.top_k=9", "scan.bottom_k=1", "attribute=all"),
    *("sweep=select", 'sweep.select.0.include=["**"]', "sweep.select.0.types=[Conv2d]", "sweep.select.0.channels=all"),
    *("optimize.height_px=16", "optimize.width_px=16", "optimize.steps=96", "optimize.dtype=float32"),
    *("optimize/transform=classic", "optimize.transform.jitter_px=1", "optimize.depth.follow=false"),
    *("assemble.crop_px=16", "sweep.variants=[{objective: channel}]"),
]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """Return the configuration of a finished atlas, whose channel upper:0 has two meanings."""
    folder = tmp_path_factory.mktemp("two meanings")
    (folder / "images").mkdir()
    images = two_meanings.write_images(folder / "images")
    config = compose([*RUN, f'dataset.root="{images}"', f'store.root="{folder / "atlas"}"'])
    quietly(config)
    return config


@pytest.fixture(scope="module")
def atlas(config: RunConfig) -> Atlas:
    return open_atlas(config.store.root)


def pictures_of(atlas: Atlas, label: str) -> dict[str, Mapping[str, Any]]:
    """Return the pictures of a channel by their variants."""
    rows = {row["unit"]: row for row in atlas.table("atlas").to_pylist()}
    images = {row["key"]: row["image"] for row in atlas.table("visualizations", ["key", "image"]).to_pylist()}
    return {shown["variant"]: shown | {"image": images[shown["key"]]} for shown in rows[label]["visualizations"]}


def lower_values(picture: Mapping[str, Any], config: RunConfig) -> np.ndarray:
    """Return the means of the channels of `lower`, behind their ReLU, on a picture."""
    with Image.open(io.BytesIO(picture["image"]["bytes"])) as image:
        pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)[None].float() / 255
    model = ready(two_meanings.build(), config.model, torch.device("cpu"))
    with torch.no_grad():
        maps = model.get_submodule("lower")(normalize(pixels, config.model.input)).relu()
    values: np.ndarray = maps.mean((0, 2, 3)).numpy()
    return values


def test_the_groups_are_what_was_planted(atlas: Atlas) -> None:
    circuits = atlas.table("circuits").to_pylist()
    assert {(row["layer"], row["channel"]) for row in circuits} == {("upper", 0)}
    assert [row["group"] for row in circuits] == [0, 1]
    for row in circuits:
        colours = {name.partition("_")[0] for name in row["examples"]}
        assert len(colours) == 1
        (parent,) = row["parents"]
        assert parent["parent"] == "lower"
        assert np.linalg.norm(parent["vector"]) == pytest.approx(1, abs=1e-5)
        assert int(np.argmax(parent["vector"])) == {"red": RED, "blue": BLUE}[colours.pop()]


def test_each_picture_excites_the_channel_behind_its_group(atlas: Atlas, config: RunConfig) -> None:
    made = pictures_of(atlas, "upper:0")
    assert list(made) == ["channel+", "circuit+ A", "circuit+ B"]
    of_group = {row["group"]: row["examples"][0].partition("_")[0] for row in atlas.table("circuits").to_pylist()}
    assert set(of_group.values()) == {"red", "blue"}
    for group, variant in enumerate(("circuit+ A", "circuit+ B")):
        behind, other = (RED, BLUE) if of_group[group] == "red" else (BLUE, RED)
        values = lower_values(made[variant], config)
        assert values.argmax() == behind
        assert values[other] < 0.2 * values[behind]
        assert made[variant]["objective"] == "circuit"
        assert made[variant]["percentile"] == 100
        assert made[variant]["picture_status"] == "ok"
    both = lower_values(made["channel+"], config)
    assert min(both[RED], both[BLUE]) > 0.2 * max(both[RED], both[BLUE]), "the unit's own picture mixes both"
    assert list(pictures_of(atlas, "upper:1")) == ["channel+"]


def test_its_pictures_are_compared_with_the_images_of_their_group(config: RunConfig) -> None:
    circuits = [picture.circuit for picture in planned(config) if picture.circuit]
    assert [(circuit.channel, circuit.letter) for circuit in circuits] == [(0, "A"), (0, "B")]
    assert not set(circuits[0].examples) & set(circuits[1].examples)


def planned(config: RunConfig) -> Iterator[Picture]:
    """Yield the pictures of the plan of a finished atlas."""
    for layer in prepare(config, measured=False).plan.layers:
        yield from layer.pictures


def test_what_a_normalization_by_the_images_own_numbers_leaves_over_is_stored(atlas: Atlas) -> None:
    rows = {row["layer"]: row for row in atlas.table("attributions").to_pylist() if row["channel"] == 0}
    assert rows["upper"]["residual"] < 1e-5
    assert rows["normed"]["parents"] == ["upper"]
    assert rows["normed"]["residual"] == pytest.approx(1, abs=0.01), "the sum of A is zero, whatever drives the value"
    for example in rows["normed"]["examples"]:
        assert example["residual"] == pytest.approx(example["value"], rel=0.01)


def test_a_run_with_nothing_to_do_makes_nothing_again(config: RunConfig, atlas: Atlas) -> None:
    before = {path: path.stat().st_mtime_ns for path in Path(config.store.root).rglob("*.parquet")}
    quietly(config)
    assert open_atlas(config.store.root).number == atlas.number
    after = {path: path.stat().st_mtime_ns for path in Path(config.store.root).rglob("*.parquet")}
    made_again = {path.name for path in after if after[path] != before.get(path)}
    assert made_again <= {"layers.parquet", "items.parquet"}
    counts = {stage.name: (stage.done, stage.total) for stage in read_status(config.store.root).stages}
    assert counts["optimize"] == counts["calibrate"] == (9, 9)


def circuits_planned(config: RunConfig, *overrides: str) -> list[str]:
    """Return the variants of the pictures of groups that a finished atlas would have by other settings."""
    root = [f'dataset.root="{config.dataset.root}"', f'store.root="{config.store.root}"', "store.allow_changes=true"]
    return [picture.variant for picture in planned(compose([*RUN, *root, *overrides])) if picture.circuit]


def test_a_picture_without_prior_stands_before_one_with(config: RunConfig) -> None:
    with_penalty = "optimize.regularizers=[{name: examples, weight: 1.0, layers: 1, examples: 4}]"
    names = circuits_planned(config, with_penalty)
    assert names == ["circuit+ A (without_prior)", "circuit+ A", "circuit+ B (without_prior)", "circuit+ B"]


@pytest.mark.parametrize("prior", ["none", "denoiser"])
def test_where_a_recipe_is_a_chain_groups_have_pictures_that_climb(config: RunConfig, prior: str) -> None:
    names = circuits_planned(config, "optimize/sampler=chain", f"optimize/prior={prior}")
    assert names == ["circuit+ A (without_prior)", "circuit+ B (without_prior)"]


def test_in_a_browser_the_page_has_a_picture_of_each_group(config: RunConfig, browser: Any) -> None:
    with watched_page(browser, files=True) as page:
        layers = Path(config.store.root) / "site" / "layers"
        page.goto(f"{next(layers.glob('*-upper.html')).as_uri()}#channel=0")
        page.wait_for_selector(".circuits img")
        shown = page.locator(".circuits .cell")
        assert shown.all_text_contents() == ["Group A", "Group B"]
        page.wait_for_function(
            "() => [...document.querySelectorAll('.circuits img')].every((each) => each.naturalWidth)"
        )
        assert {text[0] for text in page.locator(".examples b.group").all_inner_texts()} == {"A", "B"}
        assert "it may have two meanings" in page.inner_text(".circuit")
        assert "Nothing is left over" in page.inner_text(".circuit")
        page.goto(f"{next(layers.glob('*-normed.html')).as_uri()}#channel=0")
        page.wait_for_selector(".circuit a")
        left = "100 % of it is left over: saturation, gates, normalization or attention stand between, and these"
        assert f"{left} numbers say little" in page.inner_text(".circuit")
