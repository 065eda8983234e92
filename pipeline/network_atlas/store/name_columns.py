"""Columns about what a channel is about, and the table of the concepts that channels are named after."""

from __future__ import annotations

import pyarrow as pa

from network_atlas.store.fields import LAYER_KEYS, field, table_schema

_SCORE = "correlation of the channel's spatial mean with which images belong to the concept, over all examples"

NAMES = [
    field(
        "name",
        pa.string(),
        "the concept that the channel is about most: a label, or a union of labels in dataset.hierarchy; null where "
        "none scores above name_by_chance",
    ),
    field("name_score", pa.float64(), f"{_SCORE}: the largest over all concepts, also where it gives no name"),
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
                        "spatial mean than another; null where the sample has none",
                    ),
                    field("images", pa.int64(), "images of the concept", "images"),
                ]
            )
        ),
        "the five concepts with the largest scores, whether or not above name_by_chance",
    ),
]

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
