"""Names in the tables of a finished atlas, and of a made layer."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from network_atlas import open_atlas
from network_atlas.assemble.naming import LayerNames, Naming
from network_atlas.dataset.hierarchy import Hierarchy, parse
from network_atlas.layers import LayerSpec
from network_atlas.stats.classes import ClassSums
from network_atlas.stats.merge import LayerScan
from network_atlas.stats.moments import Moments

LABELS = ("beagle", "cat", "oak", "poodle")
LAYER = LayerSpec(index=3, name="block", type="Conv2d", channels=3)
IMAGES = 120
BEST = 9
"""Images in the list of the largest values."""
KINDS = parse("beagle\tdog\npoodle\tdog\ndog\tanimal\ncat\tanimal\n", where="kinds.tsv")


def named(
    hierarchy: Hierarchy = KINDS, *, views: int = 1, labelled: bool = True, left: int = 1, unread: int = 0
) -> LayerNames:
    """Return the names of a channel that follows dogs, one that follows nothing, and a constant one.

    Of the list of all views every `left`-th is there; the first images, as many as `unread`, can't be read.
    """
    classes = np.arange(IMAGES * views, dtype=np.int32) // views % 4
    generator = np.random.default_rng(1)
    values = generator.normal(size=(IMAGES * views, 3)).astype(np.float32)
    values[:, 0] += 3 * np.isin(classes, (0, 3))
    values[:, 2] = 1.0
    sums, moments = ClassSums.empty([3], labels=LABELS), Moments.empty(3)
    listed = slice(0, None, left)
    read = slice(unread * views, None, left)
    sums.update(values[read, ::-1], values[read], classes[read])  # the means of each channel are those of another
    moments.update(values[read])
    ids = tuple(f"{number // views:03d}-{LABELS[label]}#{number % views}" for number, label in enumerate(classes))
    whole = SimpleNamespace(count=moments.count, spatial_maximum=moments, top=None)
    scan = SimpleNamespace(
        classes=sums if labelled else None,
        whole=whole,
        ids=np.array(ids, object)[listed],
        sample=SimpleNamespace(ids=ids[read], spatial_maximum=values[read]),
        examples=lambda _, channel: [{"example_id": ids[row]} for row in np.argsort(-values[:, channel])[:BEST]],
    )
    naming = Naming(
        hierarchy=hierarchy,
        image=lambda name: name.partition("#")[0],
        label=lambda name: name.partition("#")[0].partition("-")[2],
        views=views,
        least=10,
    )
    return naming.of_layer(cast(LayerScan, scan))


def test_a_channel_is_named_after_the_union_that_it_follows() -> None:
    dogs, nothing, constant = (named().columns(channel) for channel in range(3))
    assert dogs["name"] == "dog"
    assert dogs["names"][0]["images"] == IMAGES // 2
    assert dogs["names"][0]["auc"] > 0.95
    assert dogs["unnamed"] is None
    assert nothing["name"] is None
    assert "by chance" in nothing["unnamed"]
    assert nothing["name_score"] <= nothing["name_by_chance"]
    assert "the same on all images" in constant["unnamed"]


def test_concepts_say_how_many_of_the_best_images_belong_to_them() -> None:
    listed = {channel: named().columns(channel)["names"] for channel in (0, 1)}
    assert listed[0][0]["share_of_best"] == 1.0
    values = np.random.default_rng(1).normal(size=(IMAGES, 3)).astype(np.float32)[:, 1]
    labels = np.array(LABELS)[np.argsort(-values)[:BEST] % 4]
    kinds = {
        "dog": ("beagle", "poodle"),
        "cat": ("cat",),
        "oak": ("oak",),
        "beagle": ("beagle",),
        "poodle": ("poodle",),
    }
    for concept in listed[1]:
        assert concept["share_of_best"] == np.isin(labels, kinds[concept["node"]]).mean()


def test_without_a_hierarchy_labels_are_all_there_is() -> None:
    assert named(Hierarchy()).columns(0)["name"] in ("beagle", "poodle")


def test_views_of_an_image_are_no_further_images() -> None:
    rows = {row["node"]: row for row in named(views=3).concept_rows(LAYER)}
    assert rows["beagle"]["images"] == IMAGES // 4
    assert named(views=3).columns(1)["name"] is None


@pytest.mark.parametrize("left", [2, 5])
def test_images_are_counted_where_a_limit_leaves_out_some_of_their_views(left: int) -> None:
    kept = range(0, 3 * IMAGES, left)
    right = {label: len({number // 3 for number in kept if number // 3 % 4 == n}) for n, label in enumerate(LABELS)}
    rows = {row["node"]: row["images"] for row in named(views=3, left=left).concept_rows(LAYER)}
    assert {label: rows[label] for label in LABELS} == right
    assert rows["dog"] == right["beagle"] + right["poodle"]


def test_images_that_can_not_be_read_do_not_count() -> None:
    rows = {row["node"]: row["images"] for row in named(views=3, unread=40).concept_rows(LAYER)}
    assert rows["beagle"] == (IMAGES - 40) // 4


def test_concepts_say_which_channel_is_about_them_and_why_they_are_left_out() -> None:
    rows = {row["node"]: row for row in named().concept_rows(LAYER)}
    assert rows["animal"]["left_out"] == "more than half of the images"
    assert (rows["dog"]["channel"], rows["dog"]["named"], rows["dog"]["left_out"]) == (0, 1, None)
    assert rows["dog"]["labels"] == 2


def test_images_without_labels_give_no_names() -> None:
    names = named(labelled=False)
    assert names.columns(0)["unnamed"] == "the images have no labels"
    assert names.concept_rows(LAYER) == []


def test_a_small_atlas_says_why_its_channels_have_no_names(atlas_root: Path) -> None:
    atlas = open_atlas(str(atlas_root))
    rows: list[dict[str, Any]] = atlas.table("channel_stats", columns=["name", "unnamed", "clarity"]).to_pylist()
    assert {row["name"] for row in rows} == {None}
    assert {row["unnamed"] for row in rows} == {
        "no label or union of labels has at least 10 images and at most half of all"
    }
    assert {row["clarity"] for row in rows} == {None}
    assert set(atlas.table("concepts").column("left_out").to_pylist()) == {"too few images"}
    assert "channels" in atlas.table("bases").column("basis").to_pylist()
