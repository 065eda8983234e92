"""The columns of the tables that the scan writes: names, types, units and meaning.

Most hold partial results, one set of rows for each span of the dataset; assembling merges them.
"""

from __future__ import annotations

import pyarrow as pa

from network_atlas.store.fields import LAYER_KEYS, field, table_schema

_NUMBERED = [
    field("number", pa.int64(), "the example's position in its span, in the order of example_id"),
    field("value", pa.float32(), "the value by which it is ranked", "activation"),
    field("at", pa.int32(), "flat position of the extreme value in the layer's map, row by row"),
]

_BEST = pa.list_(pa.struct(_NUMBERED))

_SPAN = [
    field("start", pa.int64(), "0: a span counts its own examples, in the order of example_id"),
    field("stop", pa.int64(), "examples of the span", "examples"),
    field("first", pa.string(), "example_id of the span's first example; spans are in this order"),
]


def _moment_fields(kind: str) -> list[pa.Field]:
    of = f"spatial {kind} over examples"
    return [
        field(f"spatial_{kind}_mean", pa.float64(), f"mean of the {of}", "activation"),
        field(f"spatial_{kind}_m2", pa.float64(), f"sum of squared distances of the {of}", "activation^2"),
        field(f"spatial_{kind}_m3", pa.float64(), f"sum of cubed distances of the {of}", "activation^3"),
        field(f"spatial_{kind}_minimum", pa.float64(), f"smallest {of}", "activation"),
        field(f"spatial_{kind}_maximum", pa.float64(), f"largest {of}", "activation"),
        field(f"spatial_{kind}_active", pa.int64(), f"examples whose spatial {kind} is above zero", "examples"),
        field(
            f"spatial_{kind}_histogram",
            pa.list_(pa.struct([pa.field("bucket", pa.int16()), pa.field("count", pa.int64())])),
            f"examples per bucket of the {of}; buckets as in network_atlas.stats.histogram",
        ),
    ]


PARTIALS = table_schema(
    "partials",
    [
        *LAYER_KEYS,
        field("channel", pa.int32(), "channel (class for the model's output)"),
        *_SPAN,
        field("count", pa.int64(), "examples of the span that could be read, and are finite in this layer", "examples"),
        field("non_finite", pa.int64(), "examples of the span that are left out, as they are not finite", "examples"),
        field("positions", pa.int64(), "positions of the channel's map"),
        field("within", pa.float64(), "sum of squared distances of a map's values from its own mean", "activation^2"),
        field("minimum", pa.float32(), "smallest value anywhere", "activation"),
        *_moment_fields("maximum"),
        *_moment_fields("mean"),
        field("top", _BEST, "examples with the largest spatial maximum"),
        field("bottom", _BEST, "examples with the smallest spatial minimum"),
        field("top_mean", _BEST, "examples with the largest spatial mean"),
        field("bottom_mean", _BEST, "examples with the smallest spatial mean"),
        field(
            "classes",
            pa.list_(pa.struct([field("label", pa.string(), "the class"), *_NUMBERED])),
            "the best example, by spatial maximum, of each of the classes with the best",
        ),
    ],
)

CLASS_SUMS = table_schema(
    "class_sums",
    [
        *LAYER_KEYS,
        *_SPAN,
        field("label", pa.string(), "the class"),
        field("count", pa.int64(), "examples of the class in the span", "examples"),
        field("sum", pa.list_(pa.float64()), "sum of their spatial means, per channel", "activation"),
        field("maximum_sum", pa.list_(pa.float64()), "sum of their spatial maxima, per channel", "activation"),
    ],
)

ACTIVATION_SAMPLES = table_schema(
    "activation_samples",
    [
        *LAYER_KEYS,
        field(
            "example_id",
            pa.string(),
            "the example: one of a fixed sample, chosen by the hash of its id, and finite in the layer",
        ),
        field("label", pa.string(), "the example's label, empty when unknown"),
        field("spatial_mean", pa.list_(pa.float32()), "spatial mean of every channel", "activation"),
        field("spatial_maximum", pa.list_(pa.float32()), "spatial maximum of every channel", "activation"),
        field(
            "spatial_maximum_at", pa.list_(pa.int32()), "flat position of that maximum in the layer's map, row by row"
        ),
        field("row", pa.int32(), "row of the activation vector: drawn by hash, not at an edge; token in token layers"),
        field("column", pa.int32(), "column of the activation vector"),
        field("vector", pa.list_(pa.float16()), "values of all channels at that position", "activation"),
        field(
            "centre",
            pa.list_(pa.float32()),
            "values of all channels at the layer's centre, (rows // 2, columns // 2): a neuron's default position",
            "activation",
        ),
    ],
)

EXAMPLES = table_schema(
    "examples",
    [
        field(
            "number",
            pa.int64(),
            "the example's position in the order of example_id: of its span in a file, of all from open_atlas",
        ),
        field("example_id", pa.string(), "stable name of the image within its dataset"),
        field("label", pa.string(), "the example's label, empty when unknown"),
    ],
)

_SIZES = [
    field("height", pa.int32(), "rows of the images as the model is shown them", "px"),
    field("width", pa.int32(), "columns of the images", "px"),
    field("channels", pa.int32(), "colour channels of the images"),
]

DATASET_PARTIALS = table_schema(
    "dataset_partials",
    [
        *_SPAN,
        field("count", pa.int64(), "examples behind these sums: of the first 256 of the sample", "examples"),
        *_SIZES,
        field("magnitude_sum", pa.list_(pa.float64()), "sum of the images' frequency magnitudes, see statistics"),
        field("colour_sum", pa.list_(pa.float64()), "sum over images of their mean colour, on 0..1"),
        field("colour_product_sum", pa.list_(pa.float64()), "sum over images of the mean outer product of colours"),
    ],
)

DATASET_STATISTICS = table_schema(
    "dataset_statistics",
    [
        field("dataset", pa.string(), "source and root of the images"),
        field("examples", pa.int64(), "examples of the dataset", "examples"),
        field("count", pa.int64(), "examples behind these numbers: the first 256 of the sample at most", "examples"),
        *_SIZES,
        field(
            "magnitude",
            pa.list_(pa.float32()),
            "mean of |rfft2(image - .5)|, norm ortho, three colours decorrelated as in the recipes; "
            "flat (channels, height, width // 2 + 1)",
        ),
        field("colour_mean", pa.list_(pa.float32()), "mean colour over all pixels, on 0..1"),
        field("colour_covariance", pa.list_(pa.float32()), "covariance of the colours over all pixels, row by row"),
    ],
)

FAILURES = table_schema(
    "failures",
    [
        field("example_id", pa.string(), "the image that could not be read"),
        field("reason", pa.string(), "why"),
    ],
)
