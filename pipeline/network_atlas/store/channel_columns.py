"""Columns about a channel that several tables share: its examples and its statistics."""

from __future__ import annotations

import pyarrow as pa

from network_atlas.store.fields import field
from network_atlas.store.name_columns import CLARITY, DESCRIPTIONS, NAMES

EXAMPLE_KINDS = (
    "top: largest spatial maximum; bottom: smallest spatial minimum; top_mean, bottom_mean: largest and smallest "
    "spatial mean (in rows of no single channel: largest and smallest values of the objective over at most 256 sampled "
    "examples); slightly_positive, slightly_negative: sampled examples whose spatial mean is nearest to the median "
    "of those above, below zero (without the hundredth of that side next to zero); zero: nearest to zero, for channels "
    "with values on both sides of it; class: the largest spatial maximum of each of the classes with the largest. Of "
    "examples that share the last value of a list, a sample chosen by hash is listed"
)

EXAMPLE = [
    field("example_id", pa.string(), "stable name of the image within its dataset"),
    field("label", pa.string(), "the example's label, empty when unknown"),
    field(
        "value", pa.float32(), "the value by which the kind is ranked: a spatial maximum, minimum or mean", "activation"
    ),
    field(
        "row",
        pa.int32(),
        "row of the largest value (bottom: smallest) in the layer's map; token in token layers; null for units of no "
        "single channel",
    ),
    field("column", pa.int32(), "column of that value in the layer's map"),
]

BOX = pa.struct(
    [
        field(name, pa.float32(), f"{name} edge in the image's own pixels", "px")
        for name in ("top", "left", "bottom", "right")
    ]
)

_EDGES = [
    field(name, pa.float32(), f"{name} edge in the file's pixels", "px") for name in ("top", "left", "bottom", "right")
]
_PART = pa.struct(_EDGES)

ALIKE = field(
    "alike",
    pa.int32(),
    "examples left out behind it, up to the last one listed: further views of its image, or images that look nearly "
    "the same (in channel_stats: views alone)",
    "examples",
)

SHOWN_EXAMPLE = [
    field("kind", pa.string(), EXAMPLE_KINDS),
    field("rank", pa.int32(), "rank within its kind, from 1"),
    *EXAMPLE,
    ALIKE,
    field(
        "box",
        BOX,
        "the part of the upright, full-size image that the position sees: its receptive field, cut to the image, or "
        "its token's patch; for kinds ranked by mean, everything that the model is shown",
    ),
    field(
        "image",
        pa.string(),
        "WebP file of the whole image, by its path in the root; null where only the crop is stored",
    ),
    field("shown", _PART, "the part of that file that the model is shown"),
    field("seen", _PART, "the part of that file that the position sees, as `box`"),
    field(
        "crop",
        pa.struct([field("file", pa.string(), "WebP file, by its path in the root"), *_EDGES]),
        "where the picture of the box lies (of 16 px of the input around it, where it is smaller): a part of the whole "
        "image's file, or of a sheet of crops",
    ),
]

STATISTICS = [
    field("count", pa.int64(), "examples behind the statistics: scanned, and finite in this layer", "examples"),
    field(
        "non_finite",
        pa.int64(),
        "examples that all statistics leave out, because the layer's values on them are not all finite",
        "examples",
    ),
    field("mean", pa.float64(), "mean over all positions of all examples", "activation"),
    field("variance", pa.float64(), "variance over all positions of all examples", "activation^2"),
    field("minimum", pa.float32(), "smallest value anywhere", "activation"),
    field("maximum", pa.float32(), "largest value anywhere", "activation"),
]

_BUCKET = pa.struct([pa.field("low", pa.float64()), pa.field("high", pa.float64()), pa.field("count", pa.int64())])

_QUANTILE = pa.struct([pa.field("quantile", pa.float64()), pa.field("value", pa.float64())])

_OVER_EXAMPLES = pa.struct(
    [
        field("mean", pa.float64(), "mean over examples", "activation"),
        field("variance", pa.float64(), "variance over examples", "activation^2"),
        field("skewness", pa.float64(), "third standardized moment over examples; null for constant channels"),
        field("minimum", pa.float64(), "smallest over examples", "activation"),
        field("maximum", pa.float64(), "largest over examples", "activation"),
        field("fraction_active", pa.float64(), "share of examples above zero"),
        field("fraction_above_noise", pa.float64(), "share of sampled examples above the layer's noise floor"),
        field(
            "quantiles",
            pa.list_(_QUANTILE),
            "over the sampled examples, interpolated linearly",
            "activation",
        ),
        field(
            "histogram",
            pa.list_(_BUCKET),
            "examples per bucket, without empty buckets; edges are the same for every channel, four per octave",
        ),
    ]
)

CHANNEL_STATISTICS = [
    field("dead", pa.bool_(), "whether the channel has one value everywhere, but for rounding"),
    field("spatial_maximum", _OVER_EXAMPLES, "the largest value of the channel's map, per example"),
    field("spatial_mean", _OVER_EXAMPLES, "the mean of the channel's map, per example"),
    field(
        "noise_floor",
        pa.float64(),
        "of the layer: a hundredth of the 99th percentile of its channels' absolute spatial maxima over the sample",
        "activation",
    ),
    field(
        "partners",
        pa.list_(
            pa.struct(
                [
                    pa.field("channel", pa.int32()),
                    pa.field("correlation", pa.float64()),
                    field("unit", pa.string(), "text form of the unit"),
                    field("class_name", pa.string(), "name of the class, for class logits"),
                ]
            )
        ),
        "channels of the layer whose spatial means correlate most with this one's over the sample",
    ),
    field("duplicates", pa.list_(pa.int32()), "channels that correlate at least .98: near-duplicates"),
    field(
        "classes",
        pa.list_(
            pa.struct([pa.field("label", pa.string()), pa.field("count", pa.int64()), pa.field("mean", pa.float64())])
        ),
        "classes with the highest mean of spatial means",
    ),
    field(
        "class_selectivity",
        pa.float64(),
        "share of the variance of spatial means that lies between classes (eta squared); null without labels, or with "
        "fewer than two examples a class",
    ),
    *NAMES,
    *DESCRIPTIONS,
    *CLARITY,
]
