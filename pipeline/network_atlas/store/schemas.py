"""The columns of the tables of an atlas: names, types, units and meaning. Those of the scan are in `scan_schemas`.

Later versions add columns and never rename them. Columns that several tables share are in `channel_columns` and
`picture_columns`.
"""

from __future__ import annotations

import pyarrow as pa

from network_atlas.store.channel_columns import ALIKE, CHANNEL_STATISTICS, EXAMPLE, SHOWN_EXAMPLE, STATISTICS
from network_atlas.store.fields import LAYER_KEYS, field, table_schema
from network_atlas.store.picture_columns import (
    AGREEMENT,
    IMAGES,
    MEASUREMENTS,
    NATURALNESS,
    PERCENTILE,
    PICTURE,
    PICTURE_KEY,
    PICTURE_STATUS,
    RECIPE,
    STANDARDIZED_RANK,
    TWIN,
    VERDICT,
    VERDICT_WORDS,
)

LAYERS = table_schema(
    "layers",
    [
        *LAYER_KEYS,
        field("type", pa.string(), "class of the module"),
        field("channels", pa.int32(), "channels of the layer"),
        field("height", pa.int32(), "rows of the map; null for token layers and vectors", "positions"),
        field("width", pa.int32(), "columns of the map; null for token layers and vectors", "positions"),
        field("tokens", pa.int32(), "tokens; null for maps and vectors", "positions"),
        field(
            "receptive_field_px",
            pa.int32(),
            "side of the input square that the centre position sees; null for tokens that are not patches",
            "px",
        ),
        field(
            "receptive_field",
            pa.struct(
                [
                    field("size_px", pa.list_(pa.float64()), "height and width", "px"),
                    field("stride_px", pa.list_(pa.float64()), "from one position to the next, down and across", "px"),
                    field("centre_px", pa.list_(pa.float64()), "middle of the first, from the top left", "px"),
                ]
            ),
            "the box of the input that a position sees; null for tokens, vectors, and fields too large to measure",
        ),
        field("receptive_field_algorithm", pa.int32(), "number of the way in which the two fields were measured"),
        field("upstream", pa.string(), "hash of everything that determines the layer's output"),
        field("selected", pa.int32(), "channels that the sweep selects"),
    ],
)

ITEMS = table_schema(
    "items",
    [
        field("stage", pa.string(), "scan, layout, prior, optimize or calibrate"),
        field("key", pa.string(), "fingerprint of everything that determines the result"),
        *LAYER_KEYS,
        field("channel", pa.int32(), "channel; null for scan items, which hold all channels, maps and cells"),
        field("unit", pa.string(), "what the picture describes; for scan items the span of examples"),
        field("variant", pa.string(), "objective, sign and seed; null for scan items"),
    ],
)

LEARNED_MODELS = table_schema(
    "learned_models",
    [
        field("kind", pa.string(), "denoiser"),
        field("key", pa.string(), "fingerprint of everything that determines the model"),
        field("settings", pa.string(), "how it was fitted, as JSON"),
        field("report", pa.string(), "how well it fits, as JSON: numbers by name"),
        field("images", pa.int32(), "images of the dataset that it was fitted to"),
        field("state", pa.struct([pa.field("bytes", pa.binary())]), "the model itself: a file of torch.save"),
    ],
)

VISUALIZATIONS = table_schema(
    "visualizations",
    [
        *LAYER_KEYS,
        field("channel", pa.int32(), "channel (class for the model's output); null for pictures of no single channel"),
        field("unit", pa.string(), "what the picture describes"),
        PICTURE_KEY,
        *PICTURE[:3],
        *IMAGES,
        *PICTURE[3:],
        *RECIPE,
        field("status", pa.string(), PICTURE_STATUS),
    ],
)

CALIBRATIONS = table_schema(
    "calibrations",
    [
        field("key", pa.string(), "the picture's fingerprint"),
        field("calibration", pa.string(), "fingerprint of everything that determines these numbers"),
        *MEASUREMENTS,
        NATURALNESS,
        field("activations", pa.list_(pa.float32()), "spatial mean of every channel of the layer on the picture"),
        field(
            "reference",
            pa.list_(pa.struct([pa.field("example_id", pa.string()), pa.field("value", pa.float32())])),
            "the objective's value on sampled examples, highest first; empty for units that the scan measures",
            "activation",
        ),
    ],
)

ATLAS = table_schema(
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
            "verdict", pa.string(), f"the worst verdict on its maximized pictures: {VERDICT_WORDS}; null without any"
        ),
        field(
            "visualizations",
            pa.list_(
                pa.struct(
                    [
                        PICTURE_KEY,
                        *PICTURE,
                        field("percentile", pa.float32(), PERCENTILE, "%"),
                        field(
                            "times_maximum",
                            pa.float32(),
                            "score over the best score of the sampled examples; null where that is not above zero, and "
                            "where there is nothing to compare with",
                        ),
                        *MEASUREMENTS,
                        NATURALNESS,
                        STANDARDIZED_RANK,
                        AGREEMENT,
                        *RECIPE,
                        TWIN,
                        field(
                            "picture_status",
                            pa.string(),
                            f"{PICTURE_STATUS}; weak (more than a quarter of the sampled examples do better, or a "
                            "class is not among the best five of its own picture); unstable (other seeds excite other "
                            "channels)",
                        ),
                        *VERDICT,
                    ]
                )
            ),
            "the optimized pictures of this channel",
        ),
        field("examples", pa.list_(pa.struct(SHOWN_EXAMPLE)), "dataset examples, top first"),
        *STATISTICS,
        *CHANNEL_STATISTICS,
    ],
)

CHANNEL_STATS = table_schema(
    "channel_stats",
    [
        field("model", pa.string(), "name of the model"),
        *LAYER_KEYS,
        field("channel", pa.int32(), "channel (class for the model's output); all of the layer, selected or not"),
        field("unit", pa.string(), "text form of the unit"),
        field("class_name", pa.string(), "name of the class, for class logits; null otherwise"),
        field(
            "status",
            pa.string(),
            "as in the atlas where the sweep selects the channel; else ok, dead or non_finite, which follow from the "
            "dataset alone",
        ),
        *STATISTICS,
        *CHANNEL_STATISTICS,
        field(
            "examples",
            pa.list_(pa.struct([*SHOWN_EXAMPLE[:2], *EXAMPLE, ALIKE])),
            "dataset examples, top first",
        ),
    ],
)
