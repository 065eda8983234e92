"""Columns about what a channel is about, and the table of the concepts that channels are named after."""

from __future__ import annotations

import pyarrow as pa

from network_atlas.store.fields import LAYER_KEYS, field, table_schema

_SCORE = "correlation of the channel's spatial maximum with which images belong to the concept, over all examples"

NAMES = [
    field(
        "name",
        pa.string(),
        "the concept that the channel is about most: a label, or a union of labels in dataset.hierarchy; null where "
        "none scores above name_by_chance",
    ),
    field(
        "name_score",
        pa.float64(),
        f"{_SCORE} (of directions: of their spatial mean, over the sample): the largest over all concepts, also where "
        "it gives no name",
    ),
    field(
        "name_by_chance",
        pa.float64(),
        "99th percentile of the largest score of any concept when the images of the sample exchange their labels",
    ),
    field("unnamed", pa.string(), "why the channel has no name; null where it has one"),
    field(
        "names",
        pa.list_(
            pa.struct(
                [
                    field("name", pa.string(), "the concept"),
                    field("node", pa.string(), "its node in the hierarchy, a wnid for ImageNet's"),
                    field("score", pa.float64(), _SCORE),
                    field(
                        "auc",
                        pa.float64(),
                        "area under the ROC curve, over the sample: how often an image of the concept has a larger "
                        "spatial maximum (of directions: mean) than another; null where the sample has none",
                    ),
                    field("images", pa.int64(), "images of the concept", "images"),
                    field(
                        "share_of_best",
                        pa.float64(),
                        "share of the images with the channel's largest values, those of the scan's list `top`, that "
                        "belong to the concept: a name may be above chance and say little; null for directions",
                    ),
                ]
            )
        ),
        "the five concepts with the largest scores, whether or not above name_by_chance",
    ),
]

_LIKE = (
    "correlation over the sample of the channel's spatial maximum (of directions: mean) with how like each image is to "
    "the concept (cosine)"
)

DESCRIPTIONS = [
    field(
        "description",
        pa.string(),
        "the concept of dataset.embeddings that the unit follows most; null without them, and where none scores above "
        "description_by_chance",
    ),
    field("description_score", pa.float64(), f"{_LIKE}: the largest of all concepts"),
    field(
        "description_by_chance",
        pa.float64(),
        "99th percentile of the largest such score when the images of the sample exchange their vectors",
    ),
    field(
        "descriptions",
        pa.list_(pa.struct([field("name", pa.string(), "the concept"), field("score", pa.float64(), _LIKE)])),
        "the five concepts with the largest scores, whether or not above description_by_chance",
    ),
]

CLARITY = [
    field("clarity_layer", pa.string(), "the layer in whose space clarity is measured: the last before the output"),
    field(
        "clarity",
        pa.float64(),
        "mean cosine between the 16 sampled images with the largest spatial maxima, by their spatial means in "
        "clarity_layer, standardized over the sample: 0 by chance, 1 for equal images; null with fewer than 64 sampled "
        "images",
    ),
    field("clarity_by_chance", pa.float64(), "99th percentile of the clarity of 16 images by chance"),
    field(
        "clarity_groups",
        pa.list_(
            pa.struct(
                [
                    field("images", pa.int32(), "images of the group", "images"),
                    field("clarity", pa.float64(), "mean cosine between them; null where a group is below 3 images"),
                ]
            )
        ),
        "two groups of the 16 images, on the two sides of their first principal component; the larger one first",
    ),
    field(
        "two_groups",
        pa.bool_(),
        "whether each group is clearer than all together, by a larger share of 1 - clarity than in 99 % of sets of "
        "images by chance: then the channel may have two meanings",
    ),
    field(
        "monosemanticity",
        pa.float64(),
        "mean likeness in clarity_layer of all pairs of sampled images, weighted by the unit's spatial means on both, "
        "each scaled from 0 at the smallest to 1 at the largest: what a unit responds to is alike if it is high",
    ),
    field(
        "stability",
        pa.float64(),
        "of a direction of sweep.directions: mean over two further seeds of its largest cosine with a direction that "
        "these find; null for other units",
    ),
]

BASES = table_schema(
    "bases",
    [
        *LAYER_KEYS,
        field(
            "basis", pa.string(), "channels; directions (sweep.directions); random (a random rotation of the channels)"
        ),
        field("units", pa.int32(), "units of the basis that have a score", "units"),
        field("mean", pa.float64(), "mean of their monosemanticity"),
        field("lower_quartile", pa.float64(), "a quarter of the units has less"),
        field("median", pa.float64(), "half of the units has less"),
        field("upper_quartile", pa.float64(), "three quarters of the units have less"),
    ],
)
"""One row per basis and layer."""

CONCEPTS = table_schema(
    "concepts",
    [
        *LAYER_KEYS,
        field("name", pa.string(), "the concept: a label, or a union of labels in dataset.hierarchy"),
        field("node", pa.string(), "its node in the hierarchy"),
        field("labels", pa.int32(), "labels that belong to it", "labels"),
        field("images", pa.int64(), "images that belong to it", "images"),
        field("left_out", pa.string(), "why no channel is named after it; null for a concept that is used"),
        field("named", pa.int32(), "channels of the layer whose name it is", "channels"),
        field("channel", pa.int32(), "the channel that scores highest for it; null for a concept that is left out"),
        field("score", pa.float64(), f"that channel's score: {_SCORE}"),
    ],
)
"""One row per concept and layer."""
