"""The stage from start to end, on the tiny network: one atlas for all tests, to read only."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
from conftest import INLINE, TINY, quietly, watched_page
from PIL import Image
from planning import plan_of

from network_atlas import open_atlas
from network_atlas.analysis.atlas import Atlas
from network_atlas.config.compose import compose
from network_atlas.config.schema import RunConfig
from network_atlas.errors import ConfigError, SelectionError, StoreError
from network_atlas.plan.attributions import attribute_tasks
from network_atlas.plan.estimate import estimate
from network_atlas.run.prepare import prepare
from network_atlas.run.speeds import speeds_of
from network_atlas.run.status import read_status
from network_atlas.site.snapshot import SnapshotPages
from network_atlas.store.receipts import read_receipts
from network_atlas.store.results import what_is_done
from network_atlas.store.root import Store

Tiny = Callable[..., RunConfig]


def config_of(images: Path, root: Path, *overrides: str) -> RunConfig:
    names = [f'dataset.root="{images}"', "dataset.label=name", f'store.root="{root}"']
    return compose([*TINY, *INLINE, *names, "attribute=all", "scan.top_k=6", "optimize.steps=1", *overrides])


@pytest.fixture(scope="module")
def config(images: Path, tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """Return the configuration of a finished atlas with attributions."""
    config = config_of(images, tmp_path_factory.mktemp("attributed") / "atlas")
    quietly(config)
    return config


@pytest.fixture(scope="module")
def atlas(config: RunConfig) -> Atlas:
    return open_atlas(config.store.root)


def test_every_selected_channel_has_its_best_examples_explained(atlas: Atlas) -> None:
    shown = {
        (row["layer"], row["channel"]): {each["example_id"]: each for each in row["examples"] if each["kind"] == "top"}
        for row in atlas.table("atlas").to_pylist()
    }
    rows = atlas.table("attributions").to_pylist()
    assert {(row["layer"], row["channel"]) for row in rows} == set(shown)
    for row in rows:
        listed = shown[row["layer"], row["channel"]]
        explained = {each["example_id"]: each for each in row["examples"]}
        if row["channel"] != 2 or row["layer"] != "conv2":  # dead: all of its examples are equally good
            assert set(listed) <= set(explained)
        for name in listed.keys() & explained.keys():
            assert explained[name]["value"] == pytest.approx(listed[name]["value"], rel=1e-5, abs=1e-5)
            assert (explained[name]["row"], explained[name]["column"]) == (listed[name]["row"], listed[name]["column"])
            assert Image.open(io.BytesIO(explained[name]["heat"]["bytes"])).size == (32, 32)
            assert Image.open(io.BytesIO(explained[name]["map"]["bytes"])).mode == "L"


def test_what_is_left_over_is_stored(atlas: Atlas) -> None:
    for row in atlas.table("attributions").to_pylist():
        if row["layer"] == "conv1":
            assert row["parents"] == []
            assert row["residual"] is None
        elif (row["layer"], row["channel"]) != ("conv2", 2):  # dead
            assert row["residual"] < 1e-5  # convolutions, and ReLUs between them
            assert row["value"] == pytest.approx(row["base"] + row["attributed"], abs=1e-4)


def test_edges_are_the_strongest_of_each_sign(atlas: Atlas) -> None:
    table = atlas.edges()
    assert set(zip(table["layer"].to_pylist(), table["parent"].to_pylist(), strict=True)) == {
        ("conv2", "conv1"),
        ("conv3", "conv2"),
    }
    assert atlas.edges("conv3").equals(table.filter(pc.equal(table["layer"], "conv3")))
    sums: dict[tuple[str, int], float] = {}
    for row in table.to_pylist():
        assert (row["mean"] > 0) == (row["sign"] == "positive")
        assert 0 <= row["share"] <= 1
        assert 0 <= row["agreement"] <= 1
        sums[row["layer"], row["channel"]] = sums.get((row["layer"], row["channel"]), 0.0) + row["mean"]
        # conv3 reads conv2 through a function that is no module: its weights are not all that stands between.
        assert (row["wiring"] is None) == (row["layer"] == "conv3")
    for row in atlas.table("attributions").to_pylist():
        if row["layer"] == "conv2" and row["channel"] != 2:  # conv1 has eight channels: all are among the edges
            assert sums["conv2", row["channel"]] == pytest.approx(row["attributed"], abs=1e-4)
    with pytest.raises(StoreError, match="no layer 'conv'"):
        atlas.edges("conv")


def test_a_run_with_nothing_to_do_does_nothing(config: RunConfig) -> None:
    before = {receipt.task: receipt.finished for receipt in read_receipts(Store.open(config.store.root), "attribute")}
    quietly(config)
    after = {receipt.task: receipt.finished for receipt in read_receipts(Store.open(config.store.root), "attribute")}
    assert before == after


def test_blocks_change_no_bit(images: Path, config: RunConfig, atlas: Atlas, tmp_path: Path) -> None:
    smaller = replace(config, store=replace(config.store, root=str(tmp_path / "atlas")))
    smaller = replace(smaller, sweep=replace(smaller.sweep, block=1))
    quietly(smaller)
    again = open_atlas(smaller.store.root)
    for name in ("attributions", "edges"):
        assert again.table(name).equals(atlas.table(name))


def test_without_attribution_nothing_is_planned_or_kept(tiny: Tiny, images: Path, atlas_root: Path) -> None:
    plain, attributed = prepare(tiny()).plan, prepare(tiny("attribute=all")).plan
    assert plain.attributions == {}
    assert (plain.scan_keys, plain.picture_keys) == (attributed.scan_keys, attributed.picture_keys)
    assert open_atlas(str(atlas_root)).edges().num_rows == 0
    assert not [path for path in (atlas_root / "site").rglob("*") if path.name.startswith(("circuit-", "heat-"))]
    assert "attribute" not in [stage.name for stage in read_status(str(atlas_root)).stages]


def test_the_status_and_the_plan_count_channels(config: RunConfig, images: Path, tmp_path: Path) -> None:
    stage = next(stage for stage in read_status(config.store.root).stages if stage.name == "attribute")
    assert (stage.done, stage.total, stage.unit) == (18, 18, "channels")
    prepared, done = prepare(config), what_is_done(Store.open(config.store.root))
    assert attribute_tasks(prepared.plan, done.attribute) == []
    speeds = speeds_of(prepared, done, None)  # type: ignore[arg-type]  # nothing is timed: receipts say it all
    assert speeds.attribute is not None
    assert speeds.attribute > 0

    def cost(known: set[str]) -> tuple[int, float]:
        made = estimate(
            prepared.config, prepared.facts, prepared.plan, done=known, measured=done.calibrate, speeds=speeds
        )
        stage = next(stage for stage in made.stages if stage.name == "attribute")
        return stage.reused, stage.seconds

    assert cost(done.keys) == (18, 0.0)
    reused, seconds = cost(done.keys - set(done.attribute))
    assert reused == 0
    assert seconds == pytest.approx(
        sum(receipt.seconds for receipt in {receipt.task: receipt for receipt in done.attribute.values()}.values())
    )


def test_edges_kept_and_algorithm_change_keys_and_images_do_too(tiny: Tiny) -> None:
    def keys(*overrides: str, **upstream: str) -> dict[str, tuple[str, ...]]:
        select = ['sweep.select.0.include=["first", "second"]', "sweep.select.0.channels=all"]
        return dict(plan_of(tiny("attribute=all", *select, *overrides), **upstream).attributions)

    plain = keys()
    assert set(plain) == {"first", "second"}
    assert len(set(plain["first"])) == 8
    assert set(keys("attribute.edges=3")["first"]).isdisjoint(plain["first"])
    assert keys("sweep.block=2", "optimize.steps=7") == plain
    retrained = keys(second="another")
    assert retrained["first"] == plain["first"]
    assert set(retrained["second"]).isdisjoint(plain["second"])
    assert set(keys('attribute.layers=["second"]')) == {"second"}
    with pytest.raises(SelectionError, match=r"the sweep selects no layer 'secnd'.* Did you mean 'second'"):
        keys('attribute.layers=["secnd"]')


def test_without_images_nothing_can_be_attributed() -> None:
    with pytest.raises(ConfigError, match="attribute=none"):
        compose([*TINY, *INLINE, "dataset=none", "attribute=all", "store.root=atlas"])


def test_the_page_has_the_edges_down_and_up_and_the_maps(config: RunConfig) -> None:
    site = Path(config.store.root) / "site"
    page = (site / "layers" / "0002-conv2.html").read_text()
    assert page.index("heat.js") < page.index("circuit.js") < page.index("channel.js")
    text = (site / "layers" / "0002-conv2" / "circuit-000.js").read_text()
    data = json.loads(text[text.index("]=") + 2 : -2])
    shown = data["channels"]["0"]
    assert {edge[1] for edge in shown["down"]} == {"conv1"}
    assert {edge[1] for edge in shown["up"]} == {"conv3"}
    assert shown["value"] == pytest.approx(shown["base"] + shown["attributed"], abs=1e-2)
    with Image.open(site / "layers" / "0002-conv2" / "heat-000.webp") as sheet:
        assert sheet.mode == "RGBA"
        columns, rows = data["sheet"]
        assert sheet.size == (32 * columns, 32 * rows)
        assert np.asarray(sheet)[..., 3].max() > 100
    places = [place for example in shown["examples"].values() for place in example[:2]]
    assert len(set(places)) == 12
    assert max(places) < columns * rows


def test_the_pages_of_a_snapshot_have_the_edges_too(config: RunConfig) -> None:
    root = Path(config.store.root)
    pages = SnapshotPages(open_atlas(str(root), 1))
    stored = [path for path in (root / "site").rglob("*") if "circuit" in path.name or "heat" in path.name]
    assert len(stored) > 4
    for path in [*stored, root / "site" / "layers" / "0002-conv2.html"]:
        assert pages.read(str(path.relative_to(root))) == path.read_bytes(), path


def test_in_a_browser_maps_lie_over_the_images_and_links_lead_down_and_up(config: RunConfig, browser: Any) -> None:
    folder = (Path(config.store.root) / "site" / "layers").as_uri()
    with watched_page(browser) as page:
        page.goto(f"{folder}/0002-conv2.html#channel=0")
        page.wait_for_selector(".overlays")
        overlays = page.locator(".examples .overlay:visible")
        assert [overlays.nth(n).get_attribute("data-overlay") for n in range(overlays.count())] == ["heat"] * 6
        page.check(".overlays input[value=map]")
        assert {overlays.nth(n).get_attribute("data-overlay") for n in range(overlays.count())} == {"map"}
        page.check(".overlays input[value='']")
        assert overlays.count() == 0
        page.click(".circuit a[href*='0005-conv3']")
        page.wait_for_selector(".circuit a[href*='0002-conv2']")
        assert "0005-conv3.html#channel=" in page.url
        page.click(".circuit a[href*='0002-conv2']")
        page.wait_for_url("**/0002-conv2.html#channel=*")
