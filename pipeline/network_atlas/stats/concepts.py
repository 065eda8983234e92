"""How far a unit is about a concept: the correlation of its values with which images belong to the concept.

    concepts = vocabulary(labels, images, nodes)            # every label, and every union of labels in a hierarchy
    used = [concept for concept in concepts if not concept.left_out]
    scores = correlations(used, classes, moments)           # (concepts, channels)

The score is Pearson's correlation of the spatial maximum with membership, r = (mean_k - mean) / std *
sqrt(p / (1 - p)), which follows from the count and the sum of each class: so it is the same for any partition of the
dataset. It is of the maximum, as are the examples that stand beside a name. Of the scores in use it is one of the few
that pass both tests of NeuronEval (Oikarinen, Yan and Weng 2025, arXiv 2506.05774).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from network_atlas.stats.classes import ClassSums
from network_atlas.stats.moments import Moments

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Concept:
    """A label, or a union of labels."""

    node: str
    """In the hierarchy; a label that it does not know is a node of its own."""
    labels: tuple[int, ...]
    """Which of the labels belong to it, in rising order."""
    images: int
    left_out: str = ""
    """Why no unit is named after it; '' for a concept that is used."""
    below: str = ""
    """The node of a concept below it that has the same images."""


def vocabulary(
    labels: Sequence[str],
    images: Sequence[float],
    nodes: Callable[[str], Sequence[str]],
    *,
    total: float,
    least: int,
) -> tuple[Concept, ...]:
    """Return the concepts that some labels belong to, by node; `images` has the number of images of each label.

    `nodes` returns a label's node and all that it is a kind of. A concept is left out with fewer images than `least`,
    with more than half of all (`total`), and where another concept with the same labels is below it.
    """
    members: dict[str, list[int]] = {}
    above: dict[str, Sequence[str]] = {}
    for number, label in enumerate(labels):
        if label:
            for node in nodes(label):
                members.setdefault(node, []).append(number)
                above.setdefault(node, nodes(node))
    by_labels: dict[tuple[int, ...], list[str]] = {}
    for node in sorted(members):
        by_labels.setdefault(tuple(members[node]), []).append(node)
    # The lowest one is above no other.
    lowest = {of_labels: max(same, key=lambda node: len(above[node])) for of_labels, same in by_labels.items()}
    concepts = []
    for node in sorted(members):
        of_labels = tuple(members[node])
        count = sum(images[label] for label in of_labels)
        same = lowest[of_labels] if lowest[of_labels] != node else ""
        why = "too few images" if count < least else "more than half of the images" if 2 * count > total else ""
        why = why or (f"the same images as {same}" if same else "")
        concepts.append(Concept(node=node, labels=of_labels, images=round(count), left_out=why, below=same))
    return tuple(concepts)


def membership(concepts: Sequence[Concept], labels: int) -> csr_array:
    """Return which labels belong to each concept, (concepts, labels), as ones in a sparse matrix."""
    columns = np.array([label for concept in concepts for label in concept.labels], np.int32)
    starts = np.cumsum([0, *(len(concept.labels) for concept in concepts)]).astype(np.int32)
    return csr_array((np.ones(len(columns)), columns, starts), shape=(len(concepts), labels))


def correlations(concepts: Sequence[Concept], classes: ClassSums, moments: Moments) -> Floats:
    """Return the correlation of each channel's spatial maximum with each concept, (concepts, channels).

    `classes` are those of one layer, `moments` those of the spatial maximum over all its examples: examples without a
    label belong to no concept. NaN for constant channels, and for concepts without examples or with all of them.
    """
    belongs = membership(concepts, len(classes.labels))
    counts = (belongs @ classes.counts[:, 0].astype(np.float64))[:, None]
    total = moments.count.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        means = (belongs @ classes.maximum_sums) / counts
        share = counts / total
        scores: Floats = (means - moments.mean) / np.sqrt(moments.variance) * np.sqrt(share / (1 - share))
    there = np.isfinite(scores) & ~moments.is_constant()
    return np.where(there, np.clip(scores, -1.0, 1.0), np.nan)


def roc_auc(values: NDArray[np.float32], belongs: NDArray[np.bool_]) -> float | None:
    """Return how often a member's value is above another's, ties counting half; None without members or others.

    `values` and `belongs` are (examples,). This is the area under the ROC curve, the score of INVERT (Bykov et al.
    2023, arXiv 2311.13594). It fails one test of NeuronEval, so that no ranking is by it.
    """
    inside, outside = values[belongs], np.sort(values[~belongs])
    if not len(inside) or not len(outside):
        return None
    below = np.searchsorted(outside, inside, side="left") + np.searchsorted(outside, inside, side="right")
    return float(below.mean() / (2 * len(outside)))
