"""Scores of concepts, against NumPy on the values themselves."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from network_atlas.stats.chance import chance_level, sample_correlations
from network_atlas.stats.classes import ClassSums
from network_atlas.stats.concepts import Concept, correlations, membership, roc_auc, vocabulary
from network_atlas.stats.constant import standardized
from network_atlas.stats.moments import Moments
from network_atlas.stats.tree import merge_tree

LABELS = ("ant", "bee", "cat", "dog")
CONCEPTS = (Concept(node="cat", labels=(2,), images=0), Concept(node="insect", labels=(0, 1), images=0))
KINDS = {"ant": ("ant", "insect", "animal"), "bee": ("bee", "insect", "animal"), "cat": ("cat", "pet", "animal")}
Values = NDArray[np.float32]


def dataset(images: int, *, seed: int = 0, channels: int = 5) -> tuple[Values, NDArray[np.int32]]:
    """Return values of some channels, of which the first follow classes, and classes; -1 is none."""
    generator = np.random.default_rng(seed)
    classes = generator.integers(-1, len(LABELS), images).astype(np.int32)
    values = generator.normal(3, 2, (images, channels)).astype(np.float32)
    values[:, 0] += 4 * (classes == 2)
    values[:, 1] += 2 * np.isin(classes, (0, 1))
    return values, classes


def summed(values: Values, classes: NDArray[np.int32]) -> tuple[ClassSums, Moments]:
    """Return the sums and moments of values as spatial maxima; the means, which no score is of, are others."""
    sums, moments = ClassSums.empty([values.shape[1]], labels=LABELS), Moments.empty(values.shape[1])
    sums.update(values[::-1], values, classes)
    moments.update(values)
    return sums, moments


def pearson(values: Values, classes: NDArray[np.int32], labels: tuple[int, ...]) -> list[float]:
    belongs = np.isin(classes, labels)
    return [float(np.corrcoef(column, belongs)[0, 1]) for column in values.T.astype(np.float64)]


@settings(max_examples=20)
@given(st.lists(st.integers(1, 199), max_size=6, unique=True))
def test_scores_are_pearsons_correlation_for_any_partition(cuts: list[int]) -> None:
    values, classes = dataset(200)
    bounds = [0, *sorted(cuts), 200]
    parts = [summed(values[a:b], classes[a:b]) for a, b in pairwise(bounds)]
    sums = merge_tree((part for part, _ in parts), ClassSums.merge)
    moments = merge_tree((part for _, part in parts), Moments.merge)
    scores = correlations(CONCEPTS, sums, moments)
    expected = [pearson(values, classes, concept.labels) for concept in CONCEPTS]
    np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_sampled_scores_are_the_same_correlation() -> None:
    values, classes = dataset(120)
    scores = sample_correlations(standardized(values), classes.astype(np.int64), membership(CONCEPTS, len(LABELS)))
    np.testing.assert_allclose(scores, [pearson(values, classes, each.labels) for each in CONCEPTS], atol=1e-9)


def test_constant_channels_and_empty_concepts_have_no_score() -> None:
    values, classes = dataset(50)
    values[:, 4] = 1.0
    classes[classes == 2] = 3
    scores = correlations(CONCEPTS, *summed(values, classes))
    assert np.isnan(scores[0]).all()
    assert np.isnan(scores[1]).tolist() == [False, False, False, False, True]


@pytest.mark.parametrize("change", ["half of the members removed", "as many others added"])
def test_a_worse_concept_scores_lower(change: str) -> None:
    """The two tests of NeuronEval, which are what correlation is chosen for."""
    values, classes = dataset(2000)
    members, others = np.flatnonzero(classes == 2), np.flatnonzero(classes == 3)
    if change == "half of the members removed":
        changed = np.where(np.isin(np.arange(2000), members[::2]), 3, classes)
    else:
        changed = np.where(np.isin(np.arange(2000), others[: len(members)]), 2, classes)
    before, after = (correlations(CONCEPTS, *summed(values, of.astype(np.int32)))[0, 0] for of in (classes, changed))
    assert after < 0.85 * before


def names_by_chance(seed: int, *, images: int = 120, channels: int = 64, views: int = 1) -> float:
    """Return the share of units with a name, of units that are about nothing, and heavy-tailed as real ones are."""
    generator = np.random.default_rng(seed)
    values = np.repeat(generator.exponential(1, (images, channels)) ** 2, views, axis=0)
    values = (values + 0.1 * generator.normal(size=values.shape)).astype(np.float32)
    labels = np.repeat(generator.integers(0, 12, images), views)
    concepts = [Concept(node=str(n), labels=(n,), images=0) for n in range(12)]
    concepts += [Concept(node=f"{n}+", labels=(n, n + 1), images=0) for n in range(0, 12, 2)]
    ids = [f"image{number // views}" for number in range(len(labels))]
    level = chance_level(values, ids, labels, concepts)
    scores = sample_correlations(standardized(values), labels, membership(concepts, 12))
    return float(np.mean(scores.max(axis=0) > level))


@pytest.mark.parametrize("views", [1, 3])
def test_one_unit_in_a_hundred_is_named_by_chance(views: int) -> None:
    shares = [names_by_chance(seed, views=views) for seed in range(8)]
    assert 0 < float(np.mean(shares)) < 0.024  # 512 units: .01 with a standard deviation of .0044


def test_a_unit_that_is_about_a_concept_is_above_chance() -> None:
    values, classes = dataset(300)
    level = chance_level(values, [str(n) for n in range(300)], classes.astype(np.int64), CONCEPTS)
    scores = correlations(CONCEPTS, *summed(values, classes)).max(axis=0)
    assert (scores > level)[:2].all()


def test_a_constant_channel_has_no_chance_level() -> None:
    values, classes = dataset(60)
    values[:, 0] = 2.0
    level = chance_level(values, [str(n) for n in range(60)], classes.astype(np.int64), CONCEPTS)
    assert np.isnan(level).tolist() == [True, False, False, False, False]


def test_the_vocabulary_says_why_a_concept_is_left_out() -> None:
    concepts = vocabulary(LABELS, [12, 9, 20, 30], lambda label: KINDS.get(label, (label,)), total=71, least=10)
    why = {concept.node: concept.left_out for concept in concepts}
    assert why == {
        "animal": "more than half of the images",
        "ant": "",
        "bee": "too few images",
        "cat": "",
        "dog": "",
        "insect": "",
        "pet": "the same images as cat",
    }
    assert {concept.node: concept.images for concept in concepts}["insect"] == 21


def test_of_a_chain_with_the_same_images_the_lowest_is_used() -> None:
    chain = ("hound", "dog", "carnivore")
    concepts = vocabulary(
        ("hound", "rest"),
        [20, 40],
        lambda node: chain[chain.index(node) :] if node in chain else (node,),
        total=60,
        least=10,
    )
    assert [concept.node for concept in concepts if not concept.left_out] == ["hound"]


def test_area_under_the_curve_is_the_share_of_pairs() -> None:
    values = np.array([0.0, 1.0, 1.0, 2.0, 3.0], np.float32)
    belongs = np.array([False, True, False, False, True])
    pairs = [(a > b) + 0.5 * (a == b) for a in values[belongs] for b in values[~belongs]]
    assert roc_auc(values, belongs) == pytest.approx(np.mean(pairs))
    assert roc_auc(values, np.zeros(5, bool)) is None
