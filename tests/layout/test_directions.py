"""Directions are found where they were planted, and become units like any other."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from conftest import quietly
from planning import plan_of

from network_atlas import open_atlas
from network_atlas.config.schema import RunConfig
from network_atlas.errors import SelectionError
from network_atlas.layout.directions import find
from network_atlas.plan.directions import too_many, with_expected_directions
from network_atlas.run.prepare import prepare
from network_atlas.stats.monosemantic import PairSums, random_rotation, scaled

Tiny = Callable[..., RunConfig]


def planted(*, count: int = 4, channels: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Return vectors that lie around some directions without negative values, and the directions."""
    generator = np.random.default_rng(3)
    directions = generator.exponential(1, (count, channels)) ** 3
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    which = np.repeat(np.arange(count), [80, 60, 40, 20])
    values = directions[which] * generator.uniform(1, 3, (200, 1)) + 0.02 * generator.exponential(1, (200, channels))
    return values.astype(np.float32), directions


@pytest.mark.parametrize("method", ["k_means", "nmf"])
def test_planted_directions_are_found(method: str) -> None:
    values, directions = planted()
    found = find(values, 4, method=method, seed=0)
    assert (found.vectors @ directions.T).max(axis=0).min() > 0.97
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1)
    assert found.members.sum() == 200
    assert (np.diff(found.members) <= 0).all()
    assert found.stability.min() > 0.95


def test_directions_of_noise_are_not_stable() -> None:
    noise = np.random.default_rng(0).normal(size=(200, 30)).astype(np.float32)
    assert find(noise, 8, method="k_means", seed=0).stability.mean() < 0.8


def test_negative_values_have_no_factors() -> None:
    with pytest.raises(SelectionError, match="conv1 has -1"):
        find(-np.ones((40, 3), np.float32), 2, method="nmf", seed=0, layer="conv1")


def test_negative_values_are_refused_before_any_work(tiny: Tiny) -> None:
    asked = ("sweep.directions.method=nmf", "sweep.directions.include=[conv*]")
    with pytest.raises(SelectionError, match=r"nmf is .* these have some: conv1 \(-\d.*conv3 \(-.*method=k_means"):
        prepare(tiny(*asked), measured=False)
    layers = plan_of(tiny("sweep.directions.method=nmf", "sweep.directions.include=[first]")).layers
    assert [layer.layer.name for layer in layers if layer.directions] == ["first"], "no negative value is known"


def test_more_directions_than_the_sample_gives_are_named_and_not_counted(tiny: Tiny) -> None:
    config = tiny("sweep.directions.include=[conv2, conv3]", "sweep.directions.count=64")
    prepared = prepare(config, measured=False)
    assert [notice for notice in prepared.notices if "sweep.directions.count=64 is more than" in notice] == [
        too_many(prepared.plan, config)
    ]
    assert "6 directions at most in conv2 and 1 other layer, one for 4" in too_many(prepared.plan, config)
    expected = with_expected_directions(prepared.plan, (), config)
    found = [picture for layer in expected.layers for picture in layer.pictures if picture.objective == "direction"]
    assert len(found) == 2 * 6
    assert too_many(prepared.plan, tiny("sweep.directions.count=6")) == ""


def test_few_vectors_have_few_directions() -> None:
    assert len(find(np.ones((9, 3), np.float32), 8, method="k_means", seed=0).vectors) == 2
    assert len(find(np.ones((3, 3), np.float32), 8, method="k_means", seed=0).vectors) == 0


@pytest.mark.parametrize("cuts", [[0, 50], [0, 7, 20, 50]])
def test_monosemanticity_is_the_weighted_mean_likeness_of_pairs(cuts: list[int]) -> None:
    generator = np.random.default_rng(0)
    activations = scaled(generator.normal(size=(50, 3)))
    embeddings = generator.normal(size=(50, 8))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    parts = [PairSums.of(activations[a:b], embeddings[a:b]) for a, b in pairwise(cuts)]
    merged = parts[0]
    for part in parts[1:]:
        merged = merged.merge(part)
    pairs = [(n, m) for n in range(50) for m in range(50) if n != m]
    for unit in range(3):
        weights = [activations[n, unit] * activations[m, unit] for n, m in pairs]
        likeness = [embeddings[n] @ embeddings[m] for n, m in pairs]
        assert merged.scores[unit] == pytest.approx(np.average(likeness, weights=weights), abs=1e-6)


def test_a_unit_that_no_two_images_excite_has_no_score() -> None:
    assert np.isnan(PairSums.of(np.eye(3)[:, :1], np.ones((3, 1))).scores).all()


def test_a_random_rotation_keeps_lengths() -> None:
    rotation = random_rotation(6, 6)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(6), atol=1e-12)


def test_directions_become_units_with_pictures_names_and_stability(tiny: Tiny, tmp_path: Path) -> None:
    asked = ("sweep.directions.include=[conv2]", "sweep.directions.count=3", "sweep.select.0.channels=[0]")
    config = tiny(*asked, "assemble.concept_images=3", root=tmp_path / "directions")
    result = quietly(config)
    atlas = open_atlas(config.store.root)
    rows = atlas.table("atlas").to_pylist()
    units = {row["unit"]: row for row in rows if row["layer"] == "conv2" and row["channel"] is None}
    assert list(units) == ["conv2:k-means-0", "conv2:k-means-1", "conv2:k-means-2"]
    for row in units.values():
        (picture,) = row["visualizations"]
        assert picture["objective"] == "direction"
        assert {example["kind"] for example in row["examples"]} == {"top_mean", "bottom_mean"}
        assert -1 <= row["stability"] <= 1 + 1e-6
        assert row["names"] or row["unnamed"]
    assert [row["name"] for row in atlas.table("directions").to_pylist()] == ["k-means-0", "k-means-1", "k-means-2"]
    bases = {row["basis"]: row["units"] for row in atlas.table("bases").to_pylist() if row["layer"] == "conv2"}
    assert bases["directions"] == 3
    assert bases.keys() == {"channels", "directions", "random"}
    # A run with nothing to do plans the same pictures, and makes none.
    again = prepare(config).plan
    assert sum(len(layer.pictures) for layer in again.layers) == result.pictures
    assert not again.optimize_tasks(set(again.picture_keys))


def test_a_layer_that_is_not_selected_is_refused(tiny: Tiny) -> None:
    with pytest.raises(SelectionError, match="the sweep selects no layer 'conv9'"):
        prepare(tiny("sweep.directions.include=[conv9]"))
