"""Lists of examples: at most one view of an image, no near-copies, and a fair sample of what is equal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import quietly
from PIL import Image

from network_atlas.assemble.lists import ExampleLists, with_fair_ties
from network_atlas.config.compose import compose
from network_atlas.config.schema import RunConfig
from network_atlas.dataset.looks import looks

HASHES = {"a": 0b0000, "b": 0b0001, "c": 0b1111_0000, "d": 0b1111_1111_0000}


def lists(**changes: Any) -> ExampleLists:
    known = {"views": 1, "image_of": lambda name: name.partition("#")[0], "looks": lambda name: HASHES[name[0]]}
    return ExampleLists(config=compose([]).scan, **(known | {"differing_bits": 2} | changes))


def best(*names: str) -> list[dict[str, Any]]:
    return [{"example_id": name, "value": float(-number)} for number, name in enumerate(names)]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, [("a#0", 3), ("c#0", 0), ("d#0", 1)]),  # b looks like a
        ({"looks": None}, [("a#0", 2), ("b#0", 0), ("c#0", 0)]),
        ({"views": 2}, [("a#0", 2), ("a#1", 0), ("c#0", 0)]),
        ({"views": 0, "looks": None}, [("a#0", 0), ("a#1", 0), ("b#0", 0)]),
    ],
)
def test_a_list_has_one_view_of_an_image_and_says_how_many_are_alike(
    changes: dict[str, Any], expected: list[tuple[str, int]]
) -> None:
    chosen = lists(**changes).chosen(best("a#0", "a#1", "b#0", "a#2", "c#0", "d#0", "d#1"), 3)
    assert [(example["example_id"], example["alike"]) for example in chosen] == expected


def test_equal_examples_are_a_sample_of_all_that_are_equal() -> None:
    listed = [{"example_id": name, "value": value} for name, value in [("x", 2.0), ("a", 0.0), ("b", 0.0)]]
    tied = [{"example_id": name, "value": 0.0} for name in "mnop"]
    assert [example["example_id"] for example in with_fair_ties(listed, tied)] == ["x", "m", "n"]
    assert [example["example_id"] for example in with_fair_ties(listed, tied[:2])] == ["x", "a", "b"]
    assert [example["example_id"] for example in with_fair_ties(listed[1:], tied[:1], alone=True)] == ["m"]
    assert with_fair_ties([], []) == []


def test_copies_of_an_image_look_alike_and_other_images_do_not(images: Path, tmp_path: Path) -> None:
    pictures = [Image.open(path).convert("RGB") for path in sorted(images.iterdir())]
    copies = [reopened(picture.resize((50, 60)), tmp_path) for picture in pictures]
    for number, picture in enumerate(pictures):
        distances = [(looks(picture) ^ looks(copy)).bit_count() for copy in copies]
        assert distances[number] <= 4
        assert min(distance for other, distance in enumerate(distances) if other != number) > 4


def reopened(picture: Image.Image, folder: Path) -> Image.Image:
    picture.save(folder / "copy.jpg", quality=80)
    return Image.open(folder / "copy.jpg").convert("RGB")


def tables(root: Path, folder: str) -> list[dict[str, Any]]:
    return [row for path in sorted((root / folder).glob("*.parquet")) for row in pq.read_table(path).to_pylist()]


def test_an_atlas_of_views_lists_each_photo_once(tiny: Callable[..., RunConfig], tmp_path: Path) -> None:
    few = ["dataset.views=3", "sweep.select.0.include=[conv1]", "sweep.select.0.types=[]", "optimize.steps=1"]
    quietly(tiny(*few, "sweep.select.0.channels='0:2'", "sweep.variants=[{objective: channel}]"))
    compared = 0
    for row in [*tables(tmp_path / "atlas", "atlas"), *tables(tmp_path / "atlas", "channel_stats")]:
        for kind in {example["kind"] for example in row["examples"]} - {"class"}:
            listed = [example for example in row["examples"] if example["kind"] == kind]
            photos = [example["example_id"].partition("#")[0] for example in listed]
            assert len(set(photos)) == len(photos)
            assert [example["rank"] for example in listed] == list(range(1, len(listed) + 1))
            compared += 1
        if row["layer"] == "conv1" and "crop" not in (row["examples"] or [{}])[0]:
            top = [example for example in row["examples"] if example["kind"] == "top"]
            assert len(top) == 4, "the scan keeps enough views for a full list"
    assert compared > 20


def test_a_channel_behind_a_relu_has_no_middle_and_its_zeros_are_a_sample(
    tiny: Callable[..., RunConfig], tmp_path: Path
) -> None:
    relu = ["sweep.select.0.include=[act]", "sweep.select.0.types=[]", "sweep.variants=[{objective: channel}]"]
    quietly(tiny(*relu, "model.name=tiny_network:asleep", "sweep.select.0.channels=all", "optimize.steps=1"))
    silent = [row for row in tables(tmp_path / "atlas", "channel_stats") if row["maximum"] == 0]
    assert silent
    samples = [
        row
        for path in (tmp_path / "atlas" / "activation_samples").rglob("*.parquet")
        for row in pq.read_table(path).to_pylist()
    ]
    for row in silent:
        kinds = {kind: [e["example_id"] for e in row["examples"] if e["kind"] == kind] for kind in ("zero", "bottom")}
        assert kinds["zero"] == []
        assert len(kinds["bottom"]) == 3
        assert kinds["bottom"] != sorted(sample["example_id"] for sample in samples)[:3], "not those with the first ids"
    assert np.all([row["status"] in ("dead", "ok") for row in silent])


def test_every_channel_has_a_name_and_a_status_in_the_statistics(finished: Path) -> None:
    rows = tables(finished, "channel_stats")
    selected = {(row["layer"], row["channel"]): row["status"] for row in tables(finished, "atlas")}
    assert any((row["layer"], row["channel"]) not in selected for row in rows)
    for row in rows:
        assert row["unit"] == f"{row['layer']}:{row['channel']}"
        expected = selected.get((row["layer"], row["channel"]), "dead" if row["dead"] else "ok")
        assert row["status"] == expected
        assert all(partner["unit"] == f"{row['layer']}:{partner['channel']}" for partner in row["partners"])
