"""The columns of the tables of attribution: where on images a channel looks, and which channels before it drive it."""

from __future__ import annotations

import pyarrow as pa

from network_atlas.store.fields import IMAGE, LAYER_KEYS, field, table_schema

_KEY = field("key", pa.string(), "fingerprint of everything that determines the channel's attribution")
_CHANNEL = field("channel", pa.int32(), "channel (class for the model's output)")

ATTRIBUTIONS = table_schema(
    "attributions",
    [
        *LAYER_KEYS,
        _CHANNEL,
        _KEY,
        field(
            "parents",
            pa.list_(pa.string()),
            "layers just before it whose channels it reads, in order of execution; both of them at a shortcut. Empty "
            "for a layer that reads the image, or whose operations autograd does not see",
        ),
        field("value", pa.float32(), "mean over the examples of the channel's value", "activation"),
        field("base", pa.float32(), "mean of its value where the layers just before are zero", "activation"),
        field(
            "attributed",
            pa.float32(),
            "mean of what all channels of the layers just before add: the sum of activation times derivative over all "
            "channels and positions",
            "activation",
        ),
        field(
            "residual",
            pa.float32(),
            "mean size of value - base - attributed, over that of value - base: 0 where the layer is linear in what it "
            "reads; near 1 or above where saturation, gates, normalization by the image's own numbers, or attention "
            "stand between, and edges say little",
        ),
        field(
            "group_index", pa.float32(), "sum of squares within two groups of the examples over that around one mean"
        ),
        field(
            "group_p",
            pa.float32(),
            "share of clouds of one piece, as wide and as skewed, that divide in two as well; null for fewer "
            "than six examples",
        ),
        field("two_groups", pa.bool_(), "whether the examples are driven by two different sets of channels below"),
        field(
            "examples",
            pa.list_(
                pa.struct(
                    [
                        field("example_id", pa.string(), "stable name of the image within its dataset"),
                        field("rank", pa.int32(), "rank by value, from 1"),
                        field("row", pa.int32(), "row of the largest value in the layer's map; token in token layers"),
                        field("column", pa.int32(), "column of that value in the layer's map"),
                        field("value", pa.float32(), "the value there, before the nonlinearity", "activation"),
                        field("attributed", pa.float32(), "what all channels just before add to it", "activation"),
                        field("residual", pa.float32(), "value - base - attributed", "activation"),
                        field("group", pa.int32(), "group of the example, 0 or 1; null where none were looked for"),
                        field(
                            "heat",
                            IMAGE,
                            "size of gradient times input for the value at that position, smoothed, over the part of "
                            "the image that its crop shows: grey PNG of 32 x 32, 0 for none to 255 for the largest",
                        ),
                        field(
                            "map",
                            IMAGE,
                            "the channel's own map over the same part: grey PNG of 32 x 32, from its smallest value "
                            "in the image to its largest; null for tokens and vectors",
                        ),
                    ]
                )
            ),
            "the images with its largest values, best first, one view of each",
        ),
    ],
)

CIRCUITS = table_schema(
    "circuits",
    [
        *LAYER_KEYS,
        _CHANNEL,
        _KEY,
        field("group", pa.int32(), "0 for the larger of two groups of the channel's best examples, 1 for the other"),
        field("examples", pa.list_(pa.string()), "the images of the group, those with the largest values first"),
        field(
            "parents",
            pa.list_(
                pa.struct(
                    [
                        field("parent", pa.string(), "a layer just before, whose channels it reads"),
                        field(
                            "vector",
                            pa.list_(pa.float32()),
                            "A of each channel of that layer, averaged over the group; of all layers together of unit "
                            "length",
                        ),
                    ]
                )
            ),
            "what drives the channel on the group's images: the picture of the group is learned for these directions",
        ),
    ],
)
"""Two rows for each channel whose best examples fall into two groups that are clearly apart."""

EDGES = table_schema(
    "edges",
    [
        *LAYER_KEYS,
        _CHANNEL,
        field("parent_index", pa.int32(), "position of the layer just before among the model's modules"),
        field("parent", pa.string(), "a layer just before, whose channels it reads"),
        field("parent_channel", pa.int32(), "channel of that layer"),
        field("sign", pa.string(), "positive (it adds to the channel's value) or negative"),
        field("rank", pa.int32(), "rank by mean among those of its sign, from 1"),
        field(
            "mean",
            pa.float32(),
            "mean over the channel's best examples of A: the sum over positions of the parent channel's activation "
            "times the derivative of the channel's largest value",
            "activation",
        ),
        field("deviation", pa.float32(), "standard deviation of A over the examples", "activation"),
        field("share", pa.float32(), "mean over the examples of |A| over the sum of |A| of all channels just before"),
        field("agreement", pa.float32(), "share of the examples in which A has this sign"),
        field(
            "weight",
            pa.float32(),
            "what one more of the parent channel, everywhere, adds at the centre of the map: the sum of the kernel "
            "times the scale of the normalization; null where the layer is not linear in the parent",
        ),
        field(
            "wiring",
            pa.float32(),
            "weight times the mean of the parent channel over 64 images chosen by hash: the edge without the examples",
            "activation",
        ),
        _KEY,
    ],
)
