"""The columns of every table: names, types, units and meaning.

Later versions add columns and never rename them. Every field carries a description (and a unit where it has one)
in its metadata; every schema its name and version. Images are `struct<bytes, path>` marked as such for Hugging Face
`datasets`.
"""

from __future__ import annotations

import json

import pyarrow as pa

VERSION = 1

IMAGE = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])


def field(name: str, type_: pa.DataType, description: str, unit: str = "") -> pa.Field:
    """Return a field that explains itself."""
    metadata = {"description": description} | ({"unit": unit} if unit else {})
    return pa.field(name, type_, metadata=metadata)


def _example_fields(*, joined: bool) -> list[pa.Field]:
    fields = [
        field("example_id", pa.string(), "stable name of the image within its dataset"),
        field("value", pa.float32(), "the channel's extreme value on this example", "activation"),
        field("row", pa.int32(), "row of that value in the layer's map (token number in token layers)"),
        field("column", pa.int32(), "column of that value in the layer's map"),
    ]
    if not joined:
        return fields
    kind = field("kind", pa.string(), "'top': largest spatial maximum; 'bottom': smallest spatial minimum")
    rank = field("rank", pa.int32(), "place within its kind, from 0")
    label = field("label", pa.string(), "the example's label, empty when unknown")
    crop = field("crop", IMAGE, "JPEG of what the layer sees at that position of the original image")
    return [kind, rank, fields[0], label, *fields[1:], crop]


PERCENTILE = (
    "share of sampled examples that excite the objective less (for minimized pictures: score higher) than the picture; "
    "null where the scan has nothing to compare with, as for minimized neurons"
)

PICTURE_STATUS = (
    "ok; dead (nothing excites the unit: no gradient from two starts); diverged (a number was not finite); "
    "grey (the picture stayed uniform); saturated (most values at an end of the range)"
)

LAYER_KEYS = [
    field("layer_index", pa.int32(), "place of the layer among the model's modules, in order of execution"),
    field("layer", pa.string(), "the module's own path in the model; 'output' is the model's output"),
]

STATISTICS = [
    field("count", pa.int64(), "examples scanned", "examples"),
    field("mean", pa.float64(), "mean over all positions of all examples", "activation"),
    field("variance", pa.float64(), "variance over all positions of all examples", "activation^2"),
    field("minimum", pa.float32(), "smallest value anywhere", "activation"),
    field("maximum", pa.float32(), "largest value anywhere", "activation"),
]

_PICTURE = [
    field("variant", pa.string(), "objective, sign and seed: 'channel+'"),
    field(
        "objective",
        pa.string(),
        "what was maximized or minimized: channel, neuron, logit, probability, layer, direction, sum, interpolation",
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
_RECIPE = [
    field("steps", pa.int32(), "optimization steps taken", "steps"),
    field(
        "curve",
        pa.list_(pa.struct([field("step", pa.int32(), "step"), field("score", pa.float32(), "mean score up to it")])),
        "the score while the picture was made, as the model saw it (transformed), thinned",
    ),
    field("seed", pa.int64(), "the variant's seed"),
]


def _schema(name: str, fields: list[pa.Field]) -> pa.Schema:
    metadata = {"atlas.schema": name, "atlas.version": str(VERSION), "huggingface": _hugging_face(fields)}
    return pa.schema(fields, metadata=metadata)


def _hugging_face(fields: list[pa.Field]) -> str:
    return json.dumps({"info": {"features": {item.name: _feature(item.type) for item in fields}}})


def _feature(type_: pa.DataType) -> dict[str, object]:
    if type_ == IMAGE:
        return {"_type": "Image"}
    if pa.types.is_list(type_):
        return {"feature": _feature(type_.value_type), "_type": "List"}
    if pa.types.is_struct(type_):
        return {item.name: _feature(item.type) for item in type_}
    return {"dtype": {"float": "float32", "double": "float64"}.get(str(type_), str(type_)), "_type": "Value"}


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
        field("key", pa.string(), "fingerprint of everything that determines the picture"),
        *_PICTURE,
        *_RECIPE,
        field("status", pa.string(), PICTURE_STATUS),
    ],
)

_EXAMPLE = pa.list_(pa.struct(_example_fields(joined=False)))

PARTIALS = _schema(
    "partials",
    [
        *LAYER_KEYS,
        field("channel", pa.int32(), "channel (class for the model's output)"),
        field("start", pa.int64(), "first example of the span, counted in the order of example_id"),
        field("stop", pa.int64(), "end of the span, exclusive"),
        field("count", pa.int64(), "examples of the span that could be read", "examples"),
        field("values", pa.int64(), "values behind mean and m2: examples times positions"),
        field("mean", pa.float64(), "mean over those values", "activation"),
        field("m2", pa.float64(), "sum of squared distances from the mean", "activation^2"),
        field("minimum", pa.float32(), "smallest value", "activation"),
        field("maximum", pa.float32(), "largest value", "activation"),
        field("top", _EXAMPLE, "examples with the largest spatial maximum"),
        field("bottom", _EXAMPLE, "examples with the smallest spatial minimum"),
        field("sample_mean", pa.list_(pa.float32()), "spatial means of the sampled examples, in order of id"),
        field("sample_maximum", pa.list_(pa.float32()), "spatial maxima of the sampled examples, in order of id"),
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
        field("count", pa.int64(), "sampled examples of the span that could be read", "examples"),
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
        field("count", pa.int64(), "sampled examples behind these numbers", "examples"),
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
            "ok; dead (constant on the dataset); missing (no picture); or the worst of its pictures",
        ),
        field(
            "visualizations",
            pa.list_(
                pa.struct(
                    [
                        *_PICTURE,
                        field("percentile", pa.float32(), PERCENTILE, "%"),
                        field(
                            "times_maximum",
                            pa.float32(),
                            "score over the best score of the sampled examples; null if that is not above zero",
                        ),
                        *_MEASURED,
                        AGREEMENT,
                        *_RECIPE,
                        field(
                            "picture_status",
                            pa.string(),
                            f"{PICTURE_STATUS}; unstable (other seeds excite other channels)",
                        ),
                    ]
                )
            ),
            "the optimized pictures of this channel",
        ),
        field("examples", pa.list_(pa.struct(_example_fields(joined=True))), "dataset examples, top first"),
        *STATISTICS,
    ],
)
