"""Columns about a picture that several tables share: what it shows, how it was made, how it was measured."""

from __future__ import annotations

import pyarrow as pa

from network_atlas.store.fields import IMAGE, field
from network_atlas.units import OBJECTIVE_NAMES

PICTURE_STATUS = (
    "ok; dead (nothing excites the unit: no gradient from two starts); diverged (a number was not finite); "
    "grey (the picture is of one colour); saturated (most values at an end of the range)"
)

PERCENTILE = (
    "share of sampled examples that excite the objective less (for minimized pictures: score higher) than the picture; "
    "null where the scan has nothing to compare with, as for neurons away from the centre, and for channels that are "
    "constant but for rounding"
)

PICTURE_KEY = field(
    "key", pa.string(), "fingerprint of everything that determines the picture; its image is in `visualizations/`"
)

IMAGES = [
    field("image", IMAGE, "the optimized picture, 8-bit PNG (other than 1 or 3 channels stand side by side)"),
    field("opacity", IMAGE, "how much each pixel mattered while the picture was made, 8-bit PNG; null if not kept"),
]
"""In `visualizations/` alone: each picture is stored once, and other tables name it by its key."""

PICTURE = [
    field("variant", pa.string(), "objective, sign and seed: 'channel+'"),
    field(
        "objective",
        pa.string(),
        f"what was maximized or minimized: {', '.join(OBJECTIVE_NAMES)}, interpolation, "
        "circuit (what drives a channel on a group of its best images)",
    ),
    field("recipe", pa.string(), "name of the recipe; empty for `optimize`, the recipe of variants that name none"),
    field(
        "score",
        pa.float32(),
        "the objective on the stored picture, untransformed; a channel's is a spatial mean",
        "activation",
    ),
]

RECIPE = [
    field("steps", pa.int32(), "optimization steps taken", "steps"),
    field(
        "depth",
        pa.string(),
        "which form of the recipe made the picture: early (no border, small zooms and turns), middle (no border), "
        "late (more steps, most of them at about the picture's own size), plain (as it stands); empty for recipes "
        "that follow no depth",
    ),
    field(
        "curve",
        pa.list_(pa.struct([field("step", pa.int32(), "step"), field("score", pa.float32(), "mean score up to it")])),
        "the score while the picture was made, as the model saw it (transformed), thinned",
    ),
    field("seed", pa.int64(), "the variant's seed"),
    field("attempt", pa.int32(), "1; 2 if the first attempt was dead or diverged and the second was not"),
    field(
        "start",
        pa.string(),
        "where the ascent started: noise, example, facet or predecessor; second attempts start from noise",
    ),
    field("started_from", pa.string(), "key of the predecessor, for a picture with a warm start; null for others"),
    field(
        "before_activation",
        pa.bool_(),
        "whether the ascent used the layer's values before its activation, as second attempts do; the score never does",
    ),
]

MEASUREMENTS = [
    field(
        "rank",
        pa.int32(),
        "rank of the unit's channel among all channels of the layer, by activation on this picture, from 1; null for "
        "units of no single channel",
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
        "1 as alike as these among themselves, 0 as any image; without bounds, as a picture may show what the examples "
        "share and nothing else. For a number with a range see path_percentile",
    ),
    field(
        "path_percentile",
        pa.float32(),
        "share of images chosen by chance that are less like the unit's best examples than the picture is, in the "
        "layers before, 0 to 100: about 50 where the picture has nothing in common with them",
        "%",
    ),
]

NATURALNESS = field(
    "naturalness",
    pa.float32(),
    "share of the dataset's images in which a denoiser leaves as much of added noise as in the picture, or more: 0 is "
    "noisier than every image, 100 smoother; null where the run has no denoiser",
    "%",
)

TWIN = field(
    "twin",
    pa.string(),
    "key of the same picture made without the recipe's prior; null for pictures that no prior pulled at",
)

AGREEMENT = field(
    "agreement",
    pa.float32(),
    "likeness of what this picture and those of other seeds excite in the layer: mean cosine of their activations, "
    "counted from the dataset's mean; null with one seed",
)

STANDARDIZED_RANK = field(
    "standardized_rank",
    pa.int32(),
    "rank of the unit's channel among all channels of the layer on this picture, from 1, each activation counted in "
    "standard deviations from the channel's mean over the dataset; null for units that are no channel or class logit",
)

VERDICT_WORDS = "trusted, doubtful, or not to be trusted"

VERDICT = [
    field(
        "picture_verdict", pa.string(), f"how far to trust the picture: {VERDICT_WORDS}; limits are in assemble.verdict"
    ),
    field("verdict_reasons", pa.list_(pa.string()), "what speaks against the picture, the weightiest first"),
]
