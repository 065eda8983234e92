"""The columns of every table: names, types, units and meaning.

Later versions add columns and never rename them. Every field carries a description (and a unit where it has one)
in its metadata; every schema its name and version. Images are `struct<bytes, path>` marked as such for Hugging Face
`datasets`.
"""

from __future__ import annotations

import json

import pyarrow as pa

from network_atlas.units import OBJECTIVE_NAMES

VERSION = 1

IMAGE = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])


def field(name: str, type_: pa.DataType, description: str, unit: str = "") -> pa.Field:
    """Return a field that explains itself."""
    metadata = {"description": description} | ({"unit": unit} if unit else {})
    return pa.field(name, type_, metadata=metadata)


EXAMPLE_KINDS = (
    "top: largest spatial maximum; bottom: smallest spatial minimum; top_mean, bottom_mean: largest and smallest "
    "spatial mean (in rows of no single channel: largest and smallest values of the objective over at most 256 sampled "
    "examples); slightly_positive, slightly_negative: sampled examples whose spatial mean is nearest to the median "
    "of those above, below zero (without the hundredth of that side next to zero); zero: nearest to zero; class: the "
    "largest spatial maximum of each of the classes with the largest"
)

_EXAMPLE_FIELDS = [
    field("example_id", pa.string(), "stable name of the image within its dataset"),
    field("label", pa.string(), "the example's label, empty when unknown"),
    field("value", pa.float32(), "what the kind ranks by: a spatial maximum, minimum or mean", "activation"),
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

_JOINED_EXAMPLE_FIELDS = [
    field("kind", pa.string(), EXAMPLE_KINDS),
    field("rank", pa.int32(), "place within its kind, from 0"),
    *_EXAMPLE_FIELDS,
    field(
        "box",
        BOX,
        "what that position sees of the image, upright and in its full size: the receptive field, cut to the image, or "
        "a token's patch; for kinds by mean all that the model is shown",
    ),
    field("crop", IMAGE, "JPEG of the box, or of 16 px of the input around it where it is smaller"),
]


PERCENTILE = (
    "share of sampled examples that excite the objective less (for minimized pictures: score higher) than the picture; "
    "null where the scan has nothing to compare with, as for neurons away from the centre, and for channels that are "
    "constant but for rounding"
)

PICTURE_STATUS = (
    "ok; dead (nothing excites the unit: no gradient from two starts); diverged (a number was not finite); "
    "grey (the picture is of one colour); saturated (most values at an end of the range)"
)

LAYER_KEYS = [
    field("layer_index", pa.int32(), "place of the layer among the model's modules, in order of execution"),
    field("layer", pa.string(), "the module's own path in the model; 'output' is the model's output"),
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
            "examples per bucket, only buckets that hold some; edges are the same for every channel, four to an octave",
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
        pa.list_(pa.struct([pa.field("channel", pa.int32()), pa.field("correlation", pa.float64())])),
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
]

_PICTURE = [
    field("variant", pa.string(), "objective, sign and seed: 'channel+'"),
    field(
        "objective",
        pa.string(),
        f"what was maximized or minimized: {', '.join(OBJECTIVE_NAMES)}, interpolation",
    ),
    field("recipe", pa.string(), "name of the recipe it was made by; empty for the run's own"),
    field("image", IMAGE, "the optimized picture, 8-bit PNG (other than 1 or 3 channels stand side by side)"),
    field("opacity", IMAGE, "how much each pixel mattered while the picture was made, 8-bit PNG; null if not kept"),
    field(
        "score",
        pa.float32(),
        "the objective on the stored picture, untransformed; a channel's is a spatial mean",
        "activation",
    ),
]
_PICTURE_KEY = field("key", pa.string(), "fingerprint of everything that determines the picture")
_RECIPE = [
    field("steps", pa.int32(), "optimization steps taken", "steps"),
    field(
        "curve",
        pa.list_(pa.struct([field("step", pa.int32(), "step"), field("score", pa.float32(), "mean score up to it")])),
        "the score while the picture was made, as the model saw it (transformed), thinned",
    ),
    field("seed", pa.int64(), "the variant's seed"),
    field("attempt", pa.int32(), "1, or 2 where the first attempt was dead or diverged and another start was not"),
    field("start", pa.string(), "what it was learned from: noise, example, facet; second attempts start from noise"),
    field(
        "before_activation",
        pa.bool_(),
        "whether the ascent read the layer before its activation, as second attempts do; the score never is",
    ),
]


def columns(schema: pa.Schema) -> tuple[tuple[str, str], ...]:
    """Return the name and type of each column, without its description."""
    return tuple((column.name, str(column.type)) for column in schema)


def _schema(name: str, fields: list[pa.Field]) -> pa.Schema:
    metadata = {"atlas.schema": name, "atlas.version": str(VERSION), "huggingface": _hugging_face(fields)}
    return pa.schema(fields, metadata=metadata)


HUGGING_FACE_NAMES = {"float": "float32", "double": "float64", "halffloat": "float16"}


def _hugging_face(fields: list[pa.Field]) -> str:
    return json.dumps({"info": {"features": {item.name: _feature(item.type) for item in fields}}})


def _feature(type_: pa.DataType) -> dict[str, object]:
    if type_ == IMAGE:
        return {"_type": "Image"}
    if pa.types.is_list(type_):
        return {"feature": _feature(type_.value_type), "_type": "List"}
    if pa.types.is_struct(type_):
        return {item.name: _feature(item.type) for item in type_}
    return {"dtype": HUGGING_FACE_NAMES.get(str(type_), str(type_)), "_type": "Value"}


LAYERS = _schema(
    "layers",
    [
        *LAYER_KEYS,
        field("type", pa.string(), "class of the module"),
        field("channels", pa.int32(), "channels of the layer"),
        field("height", pa.int32(), "rows of the map; null for token layers and vectors", "positions"),
        field("width", pa.int32(), "columns of the map; null for token layers and vectors", "positions"),
        field("tokens", pa.int32(), "tokens; null for maps and vectors", "positions"),
        field("receptive_field_px", pa.int32(), "side of the input square that the centre position sees", "px"),
        field(
            "receptive_field",
            pa.struct(
                [
                    field("size_px", pa.list_(pa.float64()), "height and width", "px"),
                    field("stride_px", pa.list_(pa.float64()), "from one position to the next, down and across", "px"),
                    field("centre_px", pa.list_(pa.float64()), "middle of the first, from the top left", "px"),
                ]
            ),
            "what a position sees of the input; null for tokens, vectors, and what is too large to measure",
        ),
        field("upstream", pa.string(), "hash of everything that determines the layer's output"),
        field("selected", pa.int32(), "channels that the sweep selects"),
    ],
)

ITEMS = _schema(
    "items",
    [
        field("stage", pa.string(), "scan, optimize or calibrate"),
        field("key", pa.string(), "fingerprint of everything that determines the result"),
        *LAYER_KEYS,
        field("channel", pa.int32(), "channel; null for scan items, which hold all channels"),
        field("unit", pa.string(), "what the picture describes; for scan items the span of examples"),
        field("variant", pa.string(), "objective, sign and seed; null for scan items"),
    ],
)

VISUALIZATIONS = _schema(
    "visualizations",
    [
        *LAYER_KEYS,
        field("channel", pa.int32(), "channel (class for the model's output); null for pictures of no single channel"),
        field("unit", pa.string(), "what the picture describes"),
        _PICTURE_KEY,
        *_PICTURE,
        *_RECIPE,
        field("status", pa.string(), PICTURE_STATUS),
    ],
)


_NUMBERED = [
    field("number", pa.int64(), "the example's place in the order of example_id"),
    field("value", pa.float32(), "the value it is ranked by", "activation"),
    field("at", pa.int32(), "flat position of the extreme value in the layer's map, row by row"),
]
_BEST = pa.list_(pa.struct(_NUMBERED))
_SPAN = [
    field("start", pa.int64(), "first example of the span, counted in the order of example_id"),
    field("stop", pa.int64(), "end of the span, exclusive"),
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


PARTIALS = _schema(
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

CLASS_SUMS = _schema(
    "class_sums",
    [
        *LAYER_KEYS,
        *_SPAN,
        field("label", pa.string(), "the class"),
        field("count", pa.int64(), "examples of the class in the span", "examples"),
        field("sum", pa.list_(pa.float64()), "sum of their spatial means, per channel", "activation"),
    ],
)

ACTIVATION_SAMPLES = _schema(
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

EXAMPLES = _schema(
    "examples",
    [
        field("number", pa.int64(), "place of the example in the order of example_id"),
        field("example_id", pa.string(), "stable name of the image within its dataset"),
        field("label", pa.string(), "the example's label, empty when unknown"),
    ],
)

_MEASURED = [
    field(
        "rank",
        pa.int32(),
        "place of the unit's channel among all of its layer, by activation on its own picture, from 1; null for others",
    ),
    field(
        "robustness_loss",
        pa.float32(),
        "share of the score that is lost under random shifts, zooms and turns, on average of eight",
    ),
    field(
        "frequency_distance",
        pa.float32(),
        "how far the picture's frequency magnitude is from the dataset's; 0 is alike, 1 is a factor of ten",
        "decades",
    ),
    field(
        "path_similarity",
        pa.float32(),
        "likeness of the picture and the unit's best examples in the layers before (after Geirhos et al. 2024): "
        "1 as alike as these among themselves, 0 as any image",
    ),
]

CALIBRATIONS = _schema(
    "calibrations",
    [
        field("key", pa.string(), "the picture's fingerprint"),
        field("calibration", pa.string(), "fingerprint of everything that determines these numbers"),
        *_MEASURED,
        field("activations", pa.list_(pa.float32()), "spatial mean of every channel of the layer on the picture"),
        field(
            "reference",
            pa.list_(pa.struct([pa.field("example_id", pa.string()), pa.field("value", pa.float32())])),
            "the objective's value on sampled examples, highest first; empty for units that the scan measures",
            "activation",
        ),
    ],
)

AGREEMENT = field(
    "agreement",
    pa.float32(),
    "likeness of what this picture and those of other seeds excite in the layer: mean cosine of their activations, "
    "counted from the dataset's mean; null with one seed",
)

_SIZES = [
    field("height", pa.int32(), "rows of the images as the model is shown them", "px"),
    field("width", pa.int32(), "columns of the images", "px"),
    field("channels", pa.int32(), "colour channels of the images"),
]

DATASET_PARTIALS = _schema(
    "dataset_partials",
    [
        field("start", pa.int64(), "first example of the span, counted in the order of example_id"),
        field("stop", pa.int64(), "end of the span, exclusive"),
        field("count", pa.int64(), "examples behind these sums: of the first 256 of the sample", "examples"),
        *_SIZES,
        field("magnitude_sum", pa.list_(pa.float64()), "sum of the images' frequency magnitudes, see statistics"),
        field("colour_sum", pa.list_(pa.float64()), "sum over images of their mean colour, on 0..1"),
        field("colour_product_sum", pa.list_(pa.float64()), "sum over images of the mean outer product of colours"),
    ],
)

DATASET_STATISTICS = _schema(
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

FAILURES = _schema(
    "failures",
    [
        field("example_id", pa.string(), "the image that could not be read"),
        field("reason", pa.string(), "why"),
    ],
)

ATLAS = _schema(
    "atlas",
    [
        field("model", pa.string(), "name of the model"),
        *LAYER_KEYS,
        field("channel", pa.int32(), "channel (class for the model's output)"),
        field("unit", pa.string(), "text form of the unit"),
        field("class_name", pa.string(), "name of the class, for class logits; null otherwise"),
        field(
            "status",
            pa.string(),
            "ok; dead (constant on the dataset); missing (no picture); non_finite (examples are left out, since the "
            "layer's values on them are not all finite); or the worst of its pictures",
        ),
        field(
            "visualizations",
            pa.list_(
                pa.struct(
                    [
                        _PICTURE_KEY,
                        *_PICTURE,
                        field("percentile", pa.float32(), PERCENTILE, "%"),
                        field(
                            "times_maximum",
                            pa.float32(),
                            "score over the best score of the sampled examples; null where that is not above zero, and "
                            "where there is nothing to compare with",
                        ),
                        *_MEASURED,
                        AGREEMENT,
                        *_RECIPE,
                        field(
                            "picture_status",
                            pa.string(),
                            f"{PICTURE_STATUS}; weak (more than a quarter of the sampled examples do better, or a "
                            "class is not among the best five of its own picture); unstable (other seeds excite other "
                            "channels)",
                        ),
                    ]
                )
            ),
            "the optimized pictures of this channel",
        ),
        field("examples", pa.list_(pa.struct(_JOINED_EXAMPLE_FIELDS)), "dataset examples, top first"),
        *STATISTICS,
        *CHANNEL_STATISTICS,
    ],
)

CHANNEL_STATS = _schema(
    "channel_stats",
    [
        field("model", pa.string(), "name of the model"),
        *LAYER_KEYS,
        field("channel", pa.int32(), "channel (class for the model's output); all of the layer, selected or not"),
        *STATISTICS,
        *CHANNEL_STATISTICS,
        field(
            "examples",
            pa.list_(pa.struct([*_JOINED_EXAMPLE_FIELDS[:2], *_EXAMPLE_FIELDS])),
            "dataset examples, top first",
        ),
    ],
)
