"""The columns of the tables of the activation atlas: where vectors lie, the cells, and the cells with their icons."""

from __future__ import annotations

import pyarrow as pa

from network_atlas.store.fields import IMAGE, LAYER_KEYS, field, table_schema
from network_atlas.store.picture_columns import PERCENTILE, PICTURE_STATUS

_LAYOUT = field("layout", pa.string(), "fingerprint of everything that determines the layer's map")

_AT = [
    field("row", pa.int32(), "row of the vector in the layer's map; token in token layers"),
    field("column", pa.int32(), "column of the vector in the layer's map"),
]

LAYOUTS = table_schema(
    "layouts",
    [
        *LAYER_KEYS,
        _LAYOUT,
        field("example_id", pa.string(), "the sampled image"),
        field("label", pa.string(), "its label, empty when unknown"),
        *_AT,
        field("drawn", pa.bool_(), "whether this is the vector at the position drawn for its image, not at the centre"),
        field("x", pa.float32(), "place of the vector on the map, from 0 at the left to 1 at the right"),
        field("y", pa.float32(), "place of the vector on the map, from 0 at the top to 1 at the bottom"),
    ],
)

_MEMBER = [
    field("example_id", pa.string(), "the sampled image"),
    field("label", pa.string(), "its label, empty when unknown"),
    *_AT,
    field("cosine", pa.float32(), "cosine of the vector with the mean of its cell"),
]

_CELL = [
    field("vectors", pa.int32(), "activation vectors that the whole map stands on"),
    field("images", pa.int32(), "images that these are from"),
    field("grid", pa.int32(), "cells along a side of the map"),
    field("row", pa.int32(), "row of the cell, from the top of the map"),
    field("column", pa.int32(), "column of the cell, from the left of the map"),
    field("count", pa.int32(), "vectors in the cell"),
    field(
        "labels",
        pa.list_(
            pa.struct(
                [
                    field("label", pa.string(), "the label"),
                    field("count", pa.int32(), "vectors of the cell whose images have it"),
                ]
            )
        ),
        "the commonest labels of the cell; of equally common ones, that of the vector nearest to the mean first",
    ),
]

CELLS = table_schema(
    "cells",
    [
        *LAYER_KEYS,
        _LAYOUT,
        *_CELL,
        field("mean", pa.list_(pa.float32()), "mean of the cell's vectors, per channel", "activation"),
        field(
            "direction",
            pa.list_(pa.float32()),
            "the mean multiplied by the inverse of the second-moment matrix of the map's vectors, which is shrunk "
            "towards the identity (Ledoit and Wolf 2004); of unit length",
        ),
        field("examples", pa.list_(pa.struct(_MEMBER)), "vectors in the cell, the nearest to its mean first"),
    ],
)

DIRECTIONS = table_schema(
    "directions",
    [
        *LAYER_KEYS,
        field("directions", pa.string(), "fingerprint of everything that determines the layer's directions"),
        field("name", pa.string(), "name of the direction in its layer, by its method and size"),
        field("method", pa.string(), "k_means or nmf"),
        field("vector", pa.list_(pa.float32()), "the direction, of unit length, per channel"),
        field("members", pa.int32(), "sampled activation vectors that it is nearest to", "vectors"),
        field(
            "stability",
            pa.float64(),
            "mean over two further seeds of its largest cosine with a direction that these find: 1 if found again",
        ),
    ],
)

_CLASS = [
    field("class", pa.int32(), "number of the class: its channel of the output"),
    field("class_name", pa.string(), "its name; null where it has none"),
    field(
        "value",
        pa.float32(),
        "mean of the class's logit over the cell's images, less that over all images of the map, divided by the "
        "standard deviation over these; views of one image count as one",
        "standard deviations",
    ),
]

ACTIVATION_ATLAS = table_schema(
    "activation_atlas",
    [
        field("model", pa.string(), "name of the model"),
        *LAYER_KEYS,
        _LAYOUT,
        *_CELL,
        field("unit", pa.string(), "text form of the cell"),
        field("key", pa.string(), "fingerprint of the icon; null where it is missing"),
        field("icon", IMAGE, "picture optimized for the cell's direction; null where it is missing"),
        field("score", pa.float32(), "the direction's objective on the icon: mean of dot product times cosine^p"),
        field("percentile", pa.float32(), PERCENTILE, "%"),
        field("steps", pa.int32(), "steps that the icon took", "steps"),
        field("seed", pa.int64(), "seed of the icon"),
        field("icon_status", pa.string(), f"{PICTURE_STATUS}; null where it is missing"),
        field(
            "classes",
            pa.list_(pa.struct(_CLASS)),
            "the five classes with the largest values, whether or not above class_by_chance; null where the model's "
            "output is not selected, is no vector, or does not vary, and where the cell holds all images of the map",
        ),
        field(
            "class_by_chance",
            pa.float32(),
            "99th percentile of the largest value of any class when the images are drawn by chance, as many as in the "
            "cell; null as classes is",
            "standard deviations",
        ),
        field(
            "examples",
            pa.list_(pa.struct([*_MEMBER, field("crop", IMAGE, "what the layer sees of the image at that position")])),
            "vectors in the cell, the nearest to its mean first; crops of the first few, of one image only once",
        ),
    ],
)
"""One row per cell of the grids of a layer's map, from the coarsest grid to the finest."""
