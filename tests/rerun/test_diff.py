"""Whole diffs of small atlases: of snapshots of one root, and of two roots."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from conftest import INLINE, TINY, quietly
from tiny_network import Tiny, build

from network_atlas.cli.commands.diff import default_out
from network_atlas.cli.main import main
from network_atlas.config.compose import compose
from network_atlas.errors import ConfigError, ModelError, StoreError
from network_atlas.rerun.diff import make_diff
from network_atlas.rerun.sides import Side, named, open_side
from network_atlas.store.diff_schemas import DIFF_CHANNELS, DIFF_LAYERS

Change = Callable[[Tiny], None]
SWAPPED = [1, 5]


def _nothing(model: Tiny) -> None:
    pass


def _swap(model: Tiny) -> None:
    """Swap two channels of conv2 together with the inputs of conv3: the same function, other numbers."""
    order = torch.arange(12)
    order[SWAPPED] = order[SWAPPED].flip(0)
    model.conv2.weight.copy_(model.conv2.weight[order])
    model.conv2.bias.copy_(model.conv2.bias[order])
    model.conv3.weight.copy_(model.conv3.weight[:, order])


def _new_head(model: Tiny) -> None:
    _swap(model)
    model.fc.weight.mul_(-1)


def _train_anew(model: Tiny) -> None:
    """Other weights everywhere; channel 2 of conv2 comes alive, channel 4 of conv3 dies."""
    generator = torch.Generator().manual_seed(7)
    for parameter in model.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.4)
    model.conv3.weight[4], model.conv3.bias[4] = 0.0, 0.0


def _run(folder: Path, images: Path, change: Change, *overrides: str) -> None:
    model = build()
    assert isinstance(model, Tiny)
    with torch.no_grad():
        change(model)
    path = folder / f"{change.__name__}.pt"
    torch.save(model.state_dict(), path)
    given = (f'dataset.root="{images}"', "dataset.label=name", f'model.weights="{path}"')
    quietly(compose([*TINY, *INLINE, *given, f'store.root="{folder / "atlas"}"', *overrides]))


@pytest.fixture(scope="session")
def retrained(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with three snapshots: as it was, two channels swapped, then another head."""
    folder = tmp_path_factory.mktemp("retrained")
    for change in (_nothing, _swap, _new_head):
        _run(folder, images, change)
    return folder / "atlas"


@pytest.fixture(scope="session")
def anew(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root of the network trained from another start."""
    folder = tmp_path_factory.mktemp("anew")
    _run(folder, images, _train_anew)
    return folder / "atlas"


def _diff(old: str, new: str, out: Path) -> dict[str, Mapping[str, Any]]:
    """Return the rows of layers by name."""
    result = make_diff(open_side(old), open_side(new), out=str(out))
    return {row["layer"]: row for row in result.layers}


def _channels(out: Path, layer: str) -> list[dict[str, Any]]:
    path = next((out / "channels").glob(f"layer=*-{layer}.parquet"))
    rows: list[dict[str, Any]] = pq.read_table(path, partitioning=None).to_pylist()
    return rows


@pytest.fixture(scope="session")
def swapped(retrained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The diff of the first two snapshots."""
    out = tmp_path_factory.mktemp("diffs") / "swapped"
    _diff(f"{retrained}@1", f"{retrained}@2", out)
    return out


def test_swapped_channels_are_matched_and_nothing_else_moved(swapped: Path) -> None:
    rows = _channels(swapped, "conv2")
    assert [row["channel"] for row in rows if row["moved"]] == SWAPPED
    assert [rows[channel]["match"] for channel in SWAPPED] == SWAPPED[::-1]
    assert all(row["drift"] == pytest.approx(0, abs=1e-6) for row in rows if row["channel"] not in SWAPPED)
    assert all(rows[channel]["drift"] > 0.1 for channel in SWAPPED)
    after = _channels(swapped, "conv3")  # computes the same as before
    assert max(row["drift"] for row in after) == pytest.approx(0, abs=1e-5)
    assert all(row["jaccard"] == 1 and row["rank_biased_overlap"] == pytest.approx(1) for row in after)
    assert all(row["mean_distance"] == pytest.approx(0, abs=1e-3) for row in after if not row["dead_old"])


def test_what_comes_before_the_change_is_reused_and_has_no_table(swapped: Path) -> None:
    layers = {row["layer"]: row for row in pq.read_table(swapped / "layers.parquet").to_pylist()}
    assert {name: row["state"] for name, row in layers.items()} == {
        "conv1": "reused",
        "conv2": "recomputed",
        "conv3": "recomputed",
    }
    assert layers["conv1"]["drift"] == 0
    assert len(list((swapped / "channels").iterdir())) == 2
    assert layers["conv2"]["alignment"] == pytest.approx(1, abs=1e-5)  # does not depend on the order of channels


def test_tables_have_the_columns_of_their_schemas(swapped: Path) -> None:
    for path, schema in [("layers.parquet", DIFF_LAYERS), ("channels/layer=0002-conv2.parquet", DIFF_CHANNELS)]:
        stored = pq.read_schema(swapped / path)
        assert stored.names == schema.names
        assert all(field.metadata[b"description"] for field in stored)


def test_another_head_leaves_all_other_layers_reused(retrained: Path, tmp_path: Path) -> None:
    layers = _diff(f"{retrained}@2", f"{retrained}@3", tmp_path / "head")
    assert {row["state"] for row in layers.values()} == {"reused"}


def test_a_training_from_another_start_loses_the_numbers(retrained: Path, anew: Path, tmp_path: Path) -> None:
    layers = _diff(f"{retrained}@1", str(anew), tmp_path / "anew")
    assert {row["state"] for row in layers.values()} == {"recomputed"}
    assert layers["conv2"]["identity"] == "lost"
    assert layers["conv2"]["match_correlation"] > layers["conv2"]["index_correlation"] + 0.3
    assert (layers["conv2"]["woke"], layers["conv3"]["died"]) == (1, 1)
    rows = _channels(tmp_path / "anew", "conv3")
    assert (rows[4]["dead_new"], rows[4]["drift"], rows[4]["status_new"]) == (True, 1.0, "dead")
    assert 0 < (rows[0]["picture_similarity"] or 0) + 1 < 2
    assert rows[0]["mean_shift"] is not None
    assert rows[0]["maximum_distance"] > 0
    text = (tmp_path / "anew" / "summary.md").read_text()
    assert "number means nothing any more" in text
    assert "| conv2 | recomputed |" in text


def test_datasets_without_a_common_example_are_not_ranked(retrained: Path, images: Path, tmp_path: Path) -> None:
    others = tmp_path / "others"
    others.mkdir()
    for image in images.iterdir():
        (others / f"other_{image.name}").write_bytes(image.read_bytes())
    _run(tmp_path, others, _swap, "sweep.select.0.channels=[0]")
    layers = _diff(f"{retrained}@2", str(tmp_path / "atlas"), tmp_path / "diff")
    assert layers["conv1"]["state"] == "same_weights"
    assert any("share no example" in note for note in layers["conv1"]["notes"])
    rows = _channels(tmp_path / "diff", "conv1")
    assert {row["jaccard"] for row in rows} == {None}
    assert {row["drift"] for row in rows} == {None}  # the samples share no image either
    assert rows[0]["mean_shift"] == pytest.approx(0, abs=1e-6)  # the same images under other names
    assert rows[0]["picture_similarity"] == 1


def test_images_that_changed_under_their_names_are_not_called_the_same(images: Path, tmp_path: Path) -> None:
    mine = Path(shutil.copytree(images, tmp_path / "mine"))
    _run(tmp_path, mine, _nothing)
    first, *_, last = sorted(mine.iterdir())
    shutil.copy(last, first)
    _run(tmp_path, mine, _nothing)
    layers = _diff(f"{tmp_path}/atlas@1", f"{tmp_path}/atlas@2", tmp_path / "diff")
    assert {row["state"] for row in layers.values()} == {"same_weights"}
    assert 0 < (layers["conv1"]["drift"] or 0) < 1


def test_thresholds_set_the_exit_code_and_json_says_which(
    retrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["diff", f"{retrained}@1", f"{retrained}@2", "--out", str(tmp_path / "out"), "--json"]
    assert main([*words, "--fail-over", "drift=.9", "--fail-over", "died=0"]) == 0
    assert json.loads(capsys.readouterr().out)["exceeded"] == []
    assert main([*words, "--fail-over", "moved=.01"]) == 4
    answer = json.loads(capsys.readouterr().out)
    assert len(answer["exceeded"]) == 1
    assert answer["measures"]["moved"] == pytest.approx(2 / 26)
    assert main([*words, "--fail-over", "drfit=1"]) == 1
    assert "Did you mean 'drift'" in capsys.readouterr().err


def test_one_root_is_compared_with_its_snapshot_before(retrained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", str(retrained)]) == 0
    assert "3 reused" in capsys.readouterr().out
    record = json.loads(Path(f"{retrained}.diff", "2-3", "diff.json").read_text())
    assert (record["old"]["snapshot"], record["new"]["snapshot"]) == (2, 3)
    assert main(["diff", f"{retrained}@1"]) == 1
    assert "no snapshot before 1" in capsys.readouterr().err


def test_a_folder_with_other_things_is_left_alone(retrained: Path, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"mine")
    with pytest.raises(ConfigError, match=re.escape("photo.jpg")):
        make_diff(open_side(f"{retrained}@1"), open_side(f"{retrained}@2"), out=str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]


def test_a_second_diff_replaces_the_first_whole(retrained: Path, anew: Path, tmp_path: Path) -> None:
    _diff(f"{retrained}@1", str(anew), tmp_path)
    _diff(f"{retrained}@1", f"{retrained}@2", tmp_path)
    assert not list(tmp_path.rglob("*conv1*"))
    assert json.loads((tmp_path / "diff.json").read_text())["new"]["snapshot"] == 2


def test_the_default_folder_lies_beside_a_uri_with_a_query(retrained: Path) -> None:
    class There(Side):
        root = "s3://bucket/atlas?scheme=http"

    old, new = (open_side(f"{retrained}@{number}") for number in (1, 2))
    sides = [There(side.store, side.manifest) for side in (old, new)]
    assert default_out(sides[0], sides[1]) == "s3://bucket/atlas.diff/1-2?scheme=http"
    assert default_out(old, sides[1]) == "s3://bucket/atlas.diff/atlas@1-atlas@2?scheme=http"


def test_names_of_snapshots() -> None:
    assert named("s3://bucket/a@b@12") == ("s3://bucket/a@b", 12)
    assert named("atlases/resnet50") == ("atlases/resnet50", None)


def test_a_snapshot_that_does_not_exist_is_named(retrained: Path) -> None:
    with pytest.raises(StoreError, match="no snapshot 9"):
        open_side(f"{retrained}@9")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("{root}@x", ["after '@' comes the number of a snapshot, not 'x'", "/atlas' has 1, 2", "Write for example /"]),
        ("{folder}/nowhere", ["/nowhere' does not exist", "atlases/resnet50@2"]),
        ("{folder}", ["' has no snapshot yet; make one with: atlas run"]),
    ],
)
def test_a_side_that_cannot_be_read_is_explained(retrained: Path, tmp_path: Path, text: str, parts: list[str]) -> None:
    with pytest.raises(StoreError) as error:
        open_side(text.format(root=retrained, folder=tmp_path))
    assert all(part in str(error.value) for part in parts), error.value


def test_old_pictures_still_excite_channels_that_did_not_change(retrained: Path, tmp_path: Path) -> None:
    """Of conv3, which computes the same, a picture has the same percentile for both networks."""
    names = f"{retrained}@1", f"{retrained}@2"
    assert main(["diff", *names, "--out", str(tmp_path), "--cross"]) == 0
    rows = {row["channel"]: row for row in _channels(tmp_path, "conv3")}
    for name, column in zip(names, ("old_picture_in_new", "new_picture_in_old"), strict=True):
        files = open_side(name).manifest.files
        table = next(file.path for file in files if file.path.startswith("tables/atlas") and "conv3" in file.path)
        for row in pq.read_table(retrained / table, partitioning=None).to_pylist():
            assert rows[row["channel"]][column] == pytest.approx(row["visualizations"][0]["percentile"], abs=1e-3)
    assert _channels(tmp_path, "conv2")[2]["old_picture_in_new"] is None  # dead


def test_a_checkpoint_that_was_replaced_is_named(retrained: Path, tmp_path: Path) -> None:
    path = retrained.parent / "_swap.pt"
    kept = path.read_bytes()
    torch.save(build().state_dict(), path)
    try:
        with pytest.raises(ModelError, match="snapshot 2"):
            make_diff(open_side(f"{retrained}@1"), open_side(f"{retrained}@2"), out=str(tmp_path), cross=True)
    finally:
        path.write_bytes(kept)
