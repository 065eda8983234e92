"""The columns of the tables of a diff: what changed between an old and a new snapshot, per channel and per layer."""

from __future__ import annotations

import pyarrow as pa

from network_atlas.store.fields import LAYER_KEYS, field, table_schema

_CORRELATION = "over the images that are in the samples of both snapshots, of spatial means"
_TOP = "top examples, of those that both datasets have; null if they share none"
_EARLIER = "standard deviations of the old one"

DIFF_CHANNELS = table_schema(
    "diff_channels",
    [
        *LAYER_KEYS,
        field("channel", pa.int32(), "channel (class for the model's output)"),
        field("presence", pa.string(), "both, old or new: which snapshots have a channel of this number"),
        field(
            "drift",
            pa.float64(),
            "1 - correlation, at most 1; 0 if it is dead in both snapshots, 1 if only in one; null if not comparable",
        ),
        field("correlation", pa.float64(), f"of the old and the new channel of this number, {_CORRELATION}"),
        field("match", pa.int32(), "the new channel to which this old one is assigned, by correlation"),
        field("match_correlation", pa.float64(), f"of the old channel and its match, {_CORRELATION}"),
        field(
            "moved",
            pa.bool_(),
            "whether another number does its work now: the match has another number, correlates at least .5 and more "
            "than chance would, and at least .1 more than the channel of the same number; null if not comparable",
        ),
        field("status_old", pa.string(), "status of the old channel; null if it has no row in the atlas"),
        field("status_new", pa.string(), "status of the new channel"),
        field("dead_old", pa.bool_(), "whether the old channel has one value everywhere"),
        field("dead_new", pa.bool_(), "whether the new channel has"),
        field("jaccard", pa.float64(), f"share of both channels' {_TOP} that is in both"),
        field(
            "rank_biased_overlap",
            pa.float64(),
            f"agreement of the rankings of {_TOP}; RBO_ext with p = .9 (Webber et al. 2010)",
        ),
        field("mean_shift", pa.float64(), "change of the mean over all positions of all images", _EARLIER),
        field("spread_shift", pa.float64(), "change of the standard deviation over the same", _EARLIER),
        field(
            "maximum_distance",
            pa.float64(),
            "Wasserstein-1 distance of the histograms of spatial maxima over images",
            _EARLIER,
        ),
        field("mean_distance", pa.float64(), "the same of spatial means", _EARLIER),
        field("variant", pa.string(), "the variant whose pictures are compared: the first that both snapshots have"),
        field(
            "picture_similarity",
            pa.float64(),
            "cosine of both pictures, made 32 px small, blurred and mean-free: 1 looks the same; low values say "
            "little, since new weights start from other noise",
        ),
        field("match_picture_similarity", pa.float64(), "the same of the old picture and the match's new one"),
        field(
            "old_picture_in_new",
            pa.float64(),
            "percentile of the old picture among sampled images, for the new channel of this number (--cross)",
            "%",
        ),
        field("new_picture_in_old", pa.float64(), "percentile of the new picture for the old channel (--cross)", "%"),
    ],
)

DIFF_LAYERS = table_schema(
    "diff_layers",
    [
        *LAYER_KEYS,
        field(
            "state",
            pa.string(),
            "reused (same weights, settings and images: nothing to compare), recomputed (other weights at or before "
            "it), same_weights (other settings or images), added, removed",
        ),
        field("channels_old", pa.int32(), "channels of the old layer; null for added ones"),
        field("channels_new", pa.int32(), "channels of the new layer; null for removed ones"),
        field("upstream_old", pa.string(), "hash of everything that determines the old layer's output"),
        field("upstream_new", pa.string(), "hash of everything that determines the new layer's output"),
        field("images", pa.int32(), "images in the samples of both snapshots", "images"),
        field("drift", pa.float64(), "mean drift of the channels that are comparable; 0 for reused layers"),
        field("changed", pa.int32(), "channels whose drift is above .5", "channels"),
        field(
            "alignment",
            pa.float64(),
            "linear centred kernel alignment of spatial means (Kornblith et al. 2019), unbiased: 1 alike, 0 unrelated",
        ),
        field(
            "identity",
            pa.string(),
            "what channel numbers mean: kept; partly (fewer than half of the channels do the same work); lost "
            "(channels of the same number are no more alike than random pairs); unknown (too few channels or images)",
        ),
        field("index_correlation", pa.float64(), "mean correlation of channels of the same number"),
        field("random_correlation", pa.float64(), "mean correlation of random pairs of channels"),
        field("p_value", pa.float64(), "share of 999 random renumberings that correlate as well as the same numbers"),
        field("match_correlation", pa.float64(), "mean correlation of channels with their matches"),
        field("chance_correlation", pa.float64(), "correlation that the best partner of a channel reaches by chance"),
        field(
            "matched", pa.int32(), "channels whose match does the same work: .5 or more, and not by chance", "channels"
        ),
        field("moved", pa.int32(), "channels whose work another number does now", "channels"),
        field("died", pa.int32(), "channels that are dead in the new snapshot only", "channels"),
        field("woke", pa.int32(), "channels that are dead in the old snapshot only", "channels"),
        field("worse", pa.int32(), "channels whose status was ok and is not", "channels"),
        field("jaccard", pa.float64(), "mean over channels"),
        field("rank_biased_overlap", pa.float64(), "mean over channels"),
        field("picture_similarity", pa.float64(), "mean over channels"),
        field("old_picture_in_new", pa.float64(), "mean over channels", "%"),
        field("new_picture_in_old", pa.float64(), "mean over channels", "%"),
        field("notes", pa.list_(pa.string()), "why something is null"),
    ],
)
