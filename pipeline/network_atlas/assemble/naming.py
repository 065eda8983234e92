"""Name the channels of a layer after the concepts of the dataset: rows for the tables.

A channel is named by its spatial maximum, by which its best examples are chosen too. Of other units only the values on
the sample are known, which are spatial means: the maximum of a direction does not follow from what the scan keeps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from network_atlas.assemble.examples import Row
from network_atlas.dataset.hierarchy import Hierarchy
from network_atlas.errors import counted
from network_atlas.layers import LayerSpec
from network_atlas.stats.chance import chance_level, sample_correlations
from network_atlas.stats.classes import ClassSums
from network_atlas.stats.concepts import Concept, correlations, membership, roc_auc, vocabulary
from network_atlas.stats.constant import standardized
from network_atlas.stats.merge import LayerScan
from network_atlas.stats.sample import DECIMALS
from network_atlas.store.name_columns import NAMES

NAMES_LISTED = 5
"""Concepts that a channel's record lists."""
NO_IMAGES = np.empty(0, np.int64)
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Labelled:
    """The sampled examples: the image of each, and the number of its label (-1: none)."""

    images: Sequence[str]
    labels: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """What is needed to name channels, for all layers."""

    hierarchy: Hierarchy
    image: Callable[[str], str]
    """From an example_id to the image that it is a view of."""
    label: Callable[[str], str]
    """From an example_id."""
    views: int
    """Examples of each image at most; a limit may leave out some of them."""
    least: int
    """Images that a concept must have."""

    def of_layer(self, scan: LayerScan) -> LayerNames:
        """Return the names of a layer's channels, and the concepts."""
        return self._named(scan)

    def of_values(self, scan: LayerScan, values: NDArray[np.float32]) -> LayerNames:
        """Return the names of other units of a layer, by their values on the sample, (examples, units)."""
        return self._named(scan, values)

    def _named(self, scan: LayerScan, values: NDArray[np.float32] | None = None) -> LayerNames:
        classes = scan.classes
        if classes is None or not classes.labels:
            return self._without("the images have no labels")
        images, total = self._images(scan, classes)
        concepts = vocabulary(classes.labels, images, self.hierarchy.nodes, total=total, least=self.least)
        used = [concept for concept in concepts if not concept.left_out]
        if not used:
            few = f"no label or union of labels has at least {counted(self.least, 'image')} and at most half of all"
            return self._without(few, concepts)
        numbers = {label: number for number, label in enumerate(classes.labels)}
        sample, best = self._sample(scan, numbers), [NO_IMAGES] * (0 if values is None else values.shape[1])
        if values is None:
            best = [self._best_images(scan, channel, numbers) for channel in range(len(scan.whole.count))]
            values, scores = scan.sample.spatial_maximum, correlations(used, classes, scan.whole.spatial_maximum)
        else:
            belongs = membership(used, len(classes.labels))
            scores = sample_correlations(standardized(values), sample.labels, belongs)
        scores = np.round(scores, DECIMALS)
        return LayerNames(
            concepts=concepts,
            rows=self._rows(sample, values, used, scores, best),
            hierarchy=self.hierarchy,
            missing="",
            best={concept.node: _best(of_concept) for concept, of_concept in zip(used, scores, strict=True)},
        )

    def _images(self, scan: LayerScan, classes: ClassSums) -> tuple[list[float], float]:
        """Return the number of images of each label, and of all, whose values are known.

        Of images that can't be read all views are missing, so a label's images are as many as it has on average for
        each of the examples in the listing.
        """
        counts, whole = classes.counts[:, 0].tolist(), float(scan.whole.count.max(initial=0))
        if self.views == 1:
            return counts, whole
        examples = Counter(map(self.label, scan.ids))
        listed = Counter(dict(zip(map(self.image, scan.ids), map(self.label, scan.ids), strict=True)).values())
        images = [count * listed[label] / examples[label] for label, count in zip(classes.labels, counts, strict=True)]
        return images, whole * listed.total() / examples.total()

    def _best_images(self, scan: LayerScan, channel: int, numbers: Mapping[str, int]) -> NDArray[np.int64]:
        """Return the label's number of each image in a channel's list of the largest values; -1 is none."""
        ids = [example["example_id"] for example in scan.examples(scan.whole.top, channel)]
        of_images = {self.image(example_id): numbers.get(self.label(example_id), -1) for example_id in ids}
        return np.array(list(of_images.values()), np.int64)

    def _sample(self, scan: LayerScan, numbers: Mapping[str, int]) -> _Labelled:
        ids = scan.sample.ids
        sampled = np.array([numbers.get(self.label(example_id), -1) for example_id in ids], np.int64)
        return _Labelled(images=[self.image(name) for name in ids], labels=sampled)

    def _without(self, missing: str, concepts: tuple[Concept, ...] = ()) -> LayerNames:
        return LayerNames(concepts=concepts, rows=(), hierarchy=self.hierarchy, missing=missing, best={})

    def _rows(
        self,
        sample: _Labelled,
        values: NDArray[np.float32],
        used: Sequence[Concept],
        scores: Floats,
        best: Sequence[NDArray[np.int64]],
    ) -> tuple[Row, ...]:
        level = np.round(chance_level(values, sample.images, sample.labels, used), DECIMALS)
        belongs = [np.isin(sample.labels, concept.labels) for concept in used]
        return tuple(
            self._row(used, scores[:, channel], level[channel], values[:, channel], belongs, best[channel])
            for channel in range(scores.shape[1])
        )

    def _row(
        self,
        used: Sequence[Concept],
        scores: Floats,
        level: float,
        values: NDArray[np.float32],
        belongs: Sequence[NDArray[np.bool_]],
        best_images: NDArray[np.int64],
    ) -> Row:
        known = np.flatnonzero(np.isfinite(scores))
        if not len(known):
            return NO_NAME | {"unnamed": "its values are the same on all images"}
        order = known[np.argsort(-scores[known], kind="stable")][:NAMES_LISTED].tolist()
        listed = [
            {
                "name": self.hierarchy.name(used[number].node),
                "node": used[number].node,
                "score": float(scores[number]),
                "auc": roc_auc(values, belongs[number]),
                "images": used[number].images,
                "share_of_best": _share(best_images, used[number]),
            }
            for number in order
        ]
        best, compared = float(scores[order[0]]), bool(np.isfinite(level))
        unnamed = None
        if not compared:
            unnamed = "the sample has too few images to say what chance would give"
        elif best <= level:
            unnamed = f"its best concept scores {best:.3f}, and by chance one in a hundred has {level:.3f} or more"
        return {
            "name": None if unnamed else listed[0]["name"],
            "name_score": best,
            "name_by_chance": float(level) if compared else None,
            "unnamed": unnamed,
            "names": listed,
        }


def _share(labels: NDArray[np.int64], concept: Concept) -> float | None:
    """Return the share of some images, by the numbers of their labels, that belong to a concept; None of no images."""
    return float(np.isin(labels, concept.labels).mean()) if len(labels) else None


def _best(scores: Floats) -> Row:
    """Return the channel with the largest of some scores, (channels,), and that score."""
    if not np.isfinite(scores).any():
        return {"channel": None, "score": None}
    channel = int(np.nanargmax(scores))
    return {"channel": channel, "score": float(scores[channel])}


NO_NAME: Row = dict.fromkeys(field.name for field in NAMES) | {"names": []}


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerNames:
    """The names of one layer's channels."""

    concepts: tuple[Concept, ...]
    rows: tuple[Row, ...]
    hierarchy: Hierarchy
    missing: str
    """Why no channel has a name; then there are no rows."""
    best: Mapping[str, Row]
    """Of each concept that is used, by its node: the channel that scores highest, and its score."""

    def columns(self, channel: int) -> Row:
        """Return the columns of a channel, those of `name_columns.NAMES`."""
        return NO_NAME | {"unnamed": self.missing} if self.missing else self.rows[channel]

    def concept_rows(self, layer: LayerSpec) -> list[Row]:
        """Return one row per concept, with the columns of `name_columns.CONCEPTS`."""
        named = Counter(row["names"][0]["node"] for row in self.rows if row["name"] is not None)
        return [
            {
                "layer_index": layer.index,
                "layer": layer.name,
                "name": self.hierarchy.name(concept.node),
                "node": concept.node,
                "labels": len(concept.labels),
                "images": concept.images,
                "left_out": self._why(concept),
                "named": named[concept.node],
                **self.best.get(concept.node, {"channel": None, "score": None}),
            }
            for concept in self.concepts
        ]

    def _why(self, concept: Concept) -> str | None:
        if concept.below and concept.left_out.endswith(concept.below):
            return concept.left_out.removesuffix(concept.below) + self.hierarchy.name(concept.below)
        return concept.left_out or None
