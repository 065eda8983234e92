"""Whole runs with maps: what is stored and shown, and that nothing is laid out twice."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import TESTS, quietly
from layout.icons import assert_icons_excite_their_cells
from PIL import Image

from network_atlas import open_atlas
from network_atlas.config.compose import compose
from network_atlas.config.schema import RunConfig
from network_atlas.errors import ConfigError, SelectionError
from network_atlas.plan.estimate import EARLIER, Speeds, estimate
from network_atlas.plan.layouts import layout_tasks
from network_atlas.run.inputs import StoredFiles
from network_atlas.run.prepare import prepare
from network_atlas.run.status import read_status
from network_atlas.site.snapshot import SnapshotPages
from network_atlas.store.manifest import latest
from network_atlas.store.results import what_is_done
from network_atlas.store.root import Store
from network_atlas.units import Cell

LAYERS = ["0000-conv1", "0002-conv2", "0005-conv3"]


def rows_below(root: Path, folder: str) -> list[dict[str, Any]]:
    return [
        row for path in sorted((root / folder).rglob("*.parquet")) for row in pq.ParquetFile(path).read().to_pylist()
    ]


@pytest.fixture
def mapped(mapped_root: Path, tmp_path: Path) -> Path:
    """A finished atlas with maps, to change."""
    return Path(shutil.copytree(mapped_root, tmp_path / "atlas"))


def test_every_vector_has_a_place_on_the_square_and_every_cell_its_icon_and_crops(mapped_root: Path) -> None:
    points, atlas = rows_below(mapped_root, "layouts"), rows_below(mapped_root, "activation_atlas")
    per_layer = Counter(row["layer"] for row in points)
    # Twelve images, two vectors of each where both positions differ.
    assert all(12 < count <= 24 for count in per_layer.values())
    assert all(0 <= row["x"] <= 1 and 0 <= row["y"] <= 1 for row in points)
    counts: Counter[tuple[str, int]] = Counter()
    for row in atlas:
        counts[row["layer"], row["grid"]] += row["count"]
        assert row["icon"]["bytes"].startswith(b"\x89PNG")
        assert row["icon_status"] in ("ok", "grey", "saturated", "dead")
        assert row["percentile"] is None or 0 <= row["percentile"] <= 100
        assert row["unit"] == f"{row['layer']}:cell {row['grid']}/{row['row']},{row['column']}"
        assert row["vectors"] == per_layer[row["layer"]]
        assert row["images"] == 12
        shown = [example["example_id"] for example in row["examples"] if example["crop"]]
        assert 1 <= len(shown) <= 6
        assert len(shown) == len(set(shown))
        assert len(row["examples"]) == min(24, row["count"])
    # Four steps from noise may not reach a direction; nearly all do.
    assert sum(row["icon_status"] == "dead" for row in atlas) < len(atlas) / 20
    # With fewest=1 nothing is left out: the cells of each grid hold all vectors.
    assert counts == {(layer, grid): count for layer, count in per_layer.items() for grid in (2, 4)}


def queries_of_maps() -> list[str]:
    """Return the queries of maps that the document has: of labels, and of a class."""
    text = (TESTS.parent / "pipeline" / "ANALYSIS.md").read_text()
    return re.findall(r"```sql\n([^`]*/activation_atlas/[^`]*)```", text)


def test_the_labels_of_a_map_are_asked_for_as_the_document_says(mapped_root: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    sql, _ = queries_of_maps()
    for name, instead in {"atlases/efficientnet_lite0": str(mapped_root), "_blocks.13": "conv3", "= 10": "= 4"}.items():
        assert name in sql
        sql = sql.replace(name, instead)
    cells = [row for row in rows_below(mapped_root, "activation_atlas") if (row["layer"], row["grid"]) == ("conv3", 4)]
    assert duckdb.sql(sql).fetchall() == [
        (row["row"], row["column"], row["count"], [each["label"] for each in row["labels"]])
        for row in sorted(cells, key=lambda row: (row["row"], row["column"]))
    ]


@pytest.mark.parametrize("name", ["activation_atlas", "layouts", "cells"])
def test_the_tables_of_maps_are_read_as_the_others_are(mapped_root: Path, name: str) -> None:
    rows = open_atlas(str(mapped_root)).table(name, layers=["conv2"]).to_pylist()
    stored = [row for row in rows_below(mapped_root, name) if row["layer"] == "conv2"]
    order = ("example_id", "drawn") if name == "layouts" else ("grid", "row", "column")
    assert rows
    assert rows == sorted(stored, key=lambda row: [row[column] for column in order])


def test_icons_excite_their_cells_more_than_noise(composed_maps: Any, tmp_path: Path) -> None:
    longer = ("recipes.icon.steps=64", "recipes.icon.coarse=0", "optimize/transform@recipes.icon.transform=none")
    few = ("layout.layers=[conv3]", "layout.grids=[2]", "sweep.select.0.include=[conv3]")
    config = composed_maps(f'store.root="{tmp_path / "atlas"}"', *few, *longer)
    quietly(config)
    assert_icons_excite_their_cells(config, tmp_path / "atlas", at_least=2)


def test_a_vector_lies_in_the_cell_that_its_place_says(mapped_root: Path) -> None:
    places = {
        (row["layer"], row["example_id"], row["row"], row["column"]): (row["x"], row["y"])
        for row in rows_below(mapped_root, "layouts")
    }
    for cell in rows_below(mapped_root, "cells"):
        for example in cell["examples"]:
            x, y = places[cell["layer"], example["example_id"], example["row"], example["column"]]
            assert (min(int(y * cell["grid"]), cell["grid"] - 1), min(int(x * cell["grid"]), cell["grid"] - 1)) == (
                cell["row"],
                cell["column"],
            )


def test_cells_are_no_rows_of_the_layers_table(mapped_root: Path) -> None:
    assert [row["channel"] for row in rows_below(mapped_root, "atlas")] == [0, 1] * 3


def test_a_layer_links_to_its_map_and_maps_to_each_other(mapped_root: Path) -> None:
    for number, slug in enumerate(LAYERS):
        layer = (mapped_root / f"site/layers/{slug}.html").read_text()
        assert f'href="../maps/{slug}.html"' in layer
        assert f'src="../maps/{slug}/overview.webp"' in layer
        with Image.open(mapped_root / f"site/maps/{slug}/overview.webp") as overview:
            assert overview.size == (400, 400)
        page = (mapped_root / f"site/maps/{slug}.html").read_text()
        for other in {LAYERS[max(0, number - 1)], LAYERS[min(2, number + 1)]} - {slug}:
            assert f'href="{other}.html"' in page


def by_hand(examples: set[str], logits: dict[str, np.ndarray]) -> np.ndarray:
    """Return the mean logit of each class over the cell's images, in standard deviations above that of all images."""
    all_images = np.array(list(logits.values()), np.float64)
    held = np.array([logits[example] for example in examples], np.float64)
    return np.asarray((held.mean(axis=0) - all_images.mean(axis=0)) / all_images.std(axis=0))


def test_cells_have_the_classes_of_their_images_once_the_output_is_scanned(
    mapped: Path, composed_maps: Callable[..., RunConfig]
) -> None:
    before = rows_below(mapped, "activation_atlas")
    assert all(row["classes"] is None and row["class_by_chance"] is None for row in before)
    select = 'sweep.select=[{include: ["**"], types: [Conv2d], channels: ":2"}, {include: [output], channels: ":1"}]'
    quietly(composed_maps(f'store.root="{mapped}"', select))
    samples = [row for row in rows_below(mapped, "activation_samples") if row["layer"] == "output"]
    logits = {row["example_id"]: np.array(row["spatial_mean"]) for row in samples}
    assert len(logits) == 12
    places = rows_below(mapped, "layouts")
    rows = rows_below(mapped, "activation_atlas")
    assert [row["key"] for row in rows] == [row["key"] for row in before]  # no icon was made anew
    for row in rows:
        grid, wanted = row["grid"], (row["layer"], row["row"], row["column"])
        held = {
            place["example_id"]
            for place in places
            if (place["layer"], min(int(place["y"] * grid), grid - 1), min(int(place["x"] * grid), grid - 1)) == wanted
        }
        values = by_hand(held, logits)
        order = np.argsort(-values)
        assert [each["class"] for each in row["classes"]] == order.tolist()  # it has five
        assert [each["value"] for each in row["classes"]] == pytest.approx(values[order], rel=1e-5, abs=1e-5)
        assert row["class_by_chance"] > 0
        assert all(each["class_name"] is None for each in row["classes"])  # this network has no names of classes


def test_the_maps_of_a_snapshot_are_made_again_as_they_were(mapped_root: Path) -> None:
    pages = SnapshotPages(open_atlas(str(mapped_root), 1))
    stored = [path for path in (mapped_root / "site").rglob("*") if path.is_file()]
    assert sum("/maps/" in str(path) for path in stored) > 6
    for path in stored:
        assert pages.read(str(path.relative_to(mapped_root))) == path.read_bytes(), path
    for name in ("site/maps/0099-conv9.html", "site/maps/0000-conv1/no.jpg", "site/maps/"):
        assert not pages.exists(name)


def test_the_same_run_again_lays_nothing_out_and_publishes_nothing(mapped: Path, composed_maps: Any) -> None:
    before = {path: path.stat().st_mtime_ns for path in mapped.rglob("*") if path.is_file()}
    result = quietly(composed_maps(f'store.root="{mapped}"'))
    assert result.manifest is not None
    assert result.manifest.number == 1
    changed = {str(path.relative_to(mapped)) for path, when in before.items() if path.stat().st_mtime_ns != when}
    assert all(path.startswith(("plan/", "layers.parquet", "logs/")) for path in changed), changed


def test_the_snapshot_names_maps_cells_and_joined_tables_and_the_status_counts_them(mapped_root: Path) -> None:
    manifest = latest(Store.open(str(mapped_root)))
    assert manifest is not None
    folders = Counter(file.path.removeprefix("tables/").split("/")[0] for file in manifest.files)
    assert (folders["layouts"], folders["cells"], folders["activation_atlas"]) == (3, 3, 3)
    stages = {stage.name: stage for stage in read_status(str(mapped_root)).stages}
    assert (stages["layout"].done, stages["layout"].total) == (3, 3)
    assert stages["optimize"].done == stages["optimize"].total > 6


def test_another_grid_makes_new_maps_and_icons_and_no_picture_of_a_channel(mapped: Path, composed_maps: Any) -> None:
    plan = prepare(composed_maps(f'store.root="{mapped}"'), measured=False).plan
    other = prepare(composed_maps(f'store.root="{mapped}"', "layout.grids=[3]"), measured=False).plan
    assert plan.scan_keys == other.scan_keys

    def channels(keys: Any) -> set[str]:
        return {p.key for layer in keys.layers for p in layer.pictures if not isinstance(p.unit, Cell)}

    assert channels(plan) == channels(other)
    assert len(layout_tasks(other, done={layer.layout.key for layer in plan.layers if layer.layout})) == 3
    assert not [p for layer in other.layers for p in layer.pictures if isinstance(p.unit, Cell)]


def test_a_run_without_maps_removes_their_tables_and_pages_and_keeps_their_shards(
    mapped: Path, composed_maps: Any
) -> None:
    quietly(composed_maps(f'store.root="{mapped}"', "layout.layers=[]"))
    assert not list((mapped / "activation_atlas").rglob("*.parquet"))
    assert not list((mapped / "site/maps").rglob("*.html"))
    assert "maps/" not in (mapped / "site/layers/0000-conv1.html").read_text()
    assert len(rows_below(mapped, "cells")) > 0
    manifest = latest(Store.open(str(mapped)))
    assert manifest is not None
    assert not [file.path for file in manifest.files if file.path.startswith(("cells", "layouts", "activation_atlas"))]


def test_a_lost_map_is_laid_out_again_and_its_icons_are_kept(mapped: Path, composed_maps: Any) -> None:
    lost = next((mapped / "cells").rglob("*.parquet"))
    before = lost.read_bytes()
    lost.unlink()
    pictures = {path.name for path in (mapped / "visualizations").rglob("*.parquet")}
    quietly(composed_maps(f'store.root="{mapped}"'))
    assert lost.read_bytes() == before
    assert {path.name for path in (mapped / "visualizations").rglob("*.parquet")} == pictures


def test_the_last_layers_alone_get_maps(composed_maps: Callable[..., RunConfig], tmp_path: Path) -> None:
    config = composed_maps(f'store.root="{tmp_path}"', "layout.last=1")
    plan = prepare(config, measured=False).plan
    assert [layer.layer.name for layer in plan.layers if layer.layout] == ["conv3"]


def test_a_map_depends_on_its_own_layer_and_the_last_one_alone(
    composed_maps: Callable[..., RunConfig], tmp_path: Path
) -> None:
    def keys(layers: str) -> dict[str, str]:
        plan = prepare(composed_maps(f'store.root="{tmp_path}"', f"layout.layers={layers}"), measured=False).plan
        return {layer.layer.name: layer.layout.key for layer in plan.layers if layer.layout}

    every, two, earlier = keys("[conv1,conv2,conv3]"), keys("[conv1,conv3]"), keys("[conv1,conv2]")
    assert two == {name: every[name] for name in ("conv1", "conv3")}
    assert not set(earlier.values()) & set(every.values())
    assert keys("[conv2]") == {"conv2": earlier["conv2"]}  # the last one is aligned to none


def test_a_map_waits_for_the_one_that_it_is_aligned_to(mapped: Path, composed_maps: Callable[..., RunConfig]) -> None:
    prepared = prepare(composed_maps(f'store.root="{mapped}"'), measured=False)
    done = what_is_done(prepared.store)
    layers = {layer.layout.key: layer.layer.name for layer in prepared.plan.layers if layer.layout}

    def missing(*finished: str) -> set[str]:
        left = {key: receipt for key, receipt in done.layout.items() if layers[key] in finished}
        inputs = StoredFiles(prepared, replace(done, layout=left))
        return {task.layer.name for task in layout_tasks(prepared.plan, left, inputs)}

    assert missing() == {"conv3"}
    assert missing("conv3") == {"conv1", "conv2"}
    assert missing("conv1", "conv3") == {"conv2"}


def test_a_layer_that_the_sweep_does_not_select_is_named(
    composed_maps: Callable[..., RunConfig], tmp_path: Path
) -> None:
    with pytest.raises(SelectionError, match=r"no layer 'conv9'.*conv"):
        prepare(composed_maps(f'store.root="{tmp_path}"', "layout.layers=[conv9]"), measured=False)


def test_grids_in_any_other_order_and_unknown_recipes_are_refused() -> None:
    with pytest.raises(ConfigError, match="from coarse to fine"):
        compose(["layout=main_layers", "layout.grids=[8,4]"])
    with pytest.raises(ConfigError, match="recipe='other' is not among recipes"):
        compose(["layout=main_layers", "layout.recipe=other"])


def test_a_plan_counts_the_maps_and_about_as_many_icons_as_there_will_be(
    mapped_root: Path, composed_maps: Any, tmp_path: Path
) -> None:
    def costs(root: Path) -> dict[str, Any]:
        prepared = prepare(composed_maps(f'store.root="{root}"'), measured=False)
        done = what_is_done(prepared.store)
        sources = dict.fromkeys(("scan", "optimize", "calibrate", "assemble"), EARLIER)
        speeds = Speeds(step=1, image=1, measure=1, row=1, pictures={}, sources=sources)
        facts = (prepared.config, prepared.facts, prepared.plan)
        cost = estimate(*facts, done=done.keys, measured=done.calibrate, speeds=speeds)
        return {stage.name: stage for stage in cost.stages}

    before, after = costs(tmp_path), costs(mapped_root)
    assert (before["layout"].total, before["layout"].reused, before["layout"].tasks) == (3, 0, 3)
    assert before["layout"].seconds > 3 * 18
    assert (after["layout"].reused, after["optimize"].tasks) == (3, 0)
    icons = after["optimize"].total - 6
    assert icons / 2 < before["optimize"].total - 6 < 2 * icons
