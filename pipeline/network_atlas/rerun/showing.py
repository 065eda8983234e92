"""What the pages of a diff show of each layer: its channels by change, and their numbers in words. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from network_atlas.errors import counted
from network_atlas.rerun.channels import Row
from network_atlas.rerun.layer_diff import LayerDiff
from network_atlas.rerun.pictures import Record
from network_atlas.rerun.sides import Side
from network_atlas.rerun.summary import number_text
from network_atlas.site.diff_pages import IDENTITIES, LayerLine, Pair, Shown, Versus

PAIRS = 100
"""Channels that a layer's page shows, those that changed most; the tables have all."""
COVERS = 8

CHANNEL_FACTS = {
    "drift": ("drift", "1 - correlation with what it was, over the same images"),
    "correlation": ("correlation", "with the old channel of the same number, over the same images"),
    "match_correlation": ("with its match", "correlation of the old channel with the new one assigned to it"),
    "rank_biased_overlap": ("rankings agree", "rank-biased overlap of the top examples: 1 is the same ranking"),
    "jaccard": ("shared examples", "share of both channels' top examples that is in both"),
    "mean_shift": ("mean moved", "in standard deviations of the old channel"),
    "spread_shift": ("spread changed", "in standard deviations of the old channel"),
    "maximum_distance": ("maxima moved", "Wasserstein-1 distance of the histograms, in old standard deviations"),
    "old_picture_in_new": (
        "old picture now",
        "percentile of the old picture among the images, for the new channel",
    ),
    "new_picture_in_old": ("new picture before", "percentile of the new picture among them, for the old channel"),
    "picture_similarity": (
        "pictures alike",
        "cosine of both pictures, small, blurred and mean-free; low values say little",
    ),
}
LAYER_FACTS = {
    "drift": ("Drift", "mean over the channels"),
    "alignment": ("Alignment", "linear centred kernel alignment, unbiased: 1 alike, 0 unrelated"),
    "index_correlation": ("Same numbers", "mean correlation of channels of the same number"),
    "random_correlation": ("Random pairs", "mean correlation of random pairs of channels"),
    "p_value": ("p", "share of random renumberings that correlate as well as the same numbers"),
    "match_correlation": ("Matched", "mean correlation of channels with their matches"),
    "images": ("Images", "in the samples of both snapshots"),
}


def versus(old: Side, new: Side) -> Versus:
    """Return what every page says about the two snapshots."""
    weights = [str(side.manifest.config.get("model.weights", "")) for side in (old, new)]
    facts = {"Old weights": weights[0], "New weights": weights[1], "Old made": old.manifest.created[:10]}
    facts |= {"New made": new.manifest.created[:10]}
    names = labels(old, new)
    return Versus(
        model=str(new.manifest.config.get("model.name", "network")),
        old=names[0],
        new=names[1],
        facts=tuple((name, text) for name, text in facts.items() if text),
    )


def labels(old: Side, new: Side) -> tuple[str, str]:
    """Return a name for each side: its number, and its root where these differ."""
    if old.root == new.root:
        return f"snapshot {old.number}", f"snapshot {new.number}"
    first, second = (f"{side.root}, snapshot {side.number}" for side in (old, new))
    return first, second


def pairs_of(diff: LayerDiff) -> list[Pair]:
    """Return the channels to show, those with the largest drift first; what is not comparable comes last."""
    rows = sorted(diff.channels, key=lambda row: (row["drift"] is None, -(row["drift"] or 0.0), row["channel"]))
    shown = [row for row in rows if row["channel"] in diff.old or row["channel"] in diff.new]
    return [_pair(row, diff) for row in shown[:PAIRS]]


def _pair(row: Row, diff: LayerDiff) -> Pair:
    channel, match = row["channel"], row["match"] if row["moved"] else None
    record = diff.new.get(channel) or diff.old[channel]
    return Pair(
        channel=channel,
        caption=record.caption,
        old=_shown(diff.old.get(channel)),
        new=_shown(diff.new.get(channel)),
        match=match,
        matched=_shown(diff.new.get(match)) if match is not None else None,
        drift=row["drift"],
        badges=tuple(_badges(row)),
        facts=tuple(
            (name, number_text(row[column]), help_text)
            for column, (name, help_text) in CHANNEL_FACTS.items()
            if row[column] is not None
        ),
    )


def _shown(record: Record | None) -> Shown | None:
    if record is None:
        return None
    return Shown(picture=record.picture.thumbnail if record.picture else None, crops=record.crops)


def _badges(row: Row) -> list[str]:
    """Return what happened to a channel, in a word or two each."""
    badges = []
    if row["dead_old"] is not None and row["dead_new"] is not None and row["dead_old"] != row["dead_new"]:
        badges.append("died" if row["dead_new"] else "came alive")
    elif row["status_old"] != row["status_new"]:
        badges.append(f"{row['status_old'] or 'not shown'} → {row['status_new'] or 'not shown'}")
    if row["moved"]:
        badges.append("moved")
    return badges if row["presence"] == "both" else [*badges, f"only in the {row['presence']} one"]


def layer_facts(row: Row) -> list[tuple[str, str, str]]:
    """Return what a layer's channel numbers mean, and its measures, as (name, value, explanation)."""
    identity = IDENTITIES.get(row["identity"], "")
    meaning = [("Channels", identity, "whether channels of the same number are more alike than random pairs")]
    return (meaning if identity else []) + [
        (name, number_text(row[column]), help_text)
        for column, (name, help_text) in LAYER_FACTS.items()
        if row[column] is not None
    ]


def line_of(diff: LayerDiff, pairs: Sequence[Pair]) -> LayerLine:
    """Return what the index says about a layer."""
    row = diff.row
    facts = []
    if row["drift"] is not None and row["state"] != "reused":
        facts.append(f"drift {number_text(row['drift'])}, alignment {number_text(row['alignment'])}")
    happened = {"changed": "changed", "moved": "moved", "died": "died", "woke": "came alive", "worse": "lost ok"}
    events = [f"{row[name]:,} {words}" for name, words in happened.items() if row[name]]
    count = counted(row["channels_new"] or row["channels_old"], "channel")
    facts.append(" · ".join([count, *events]) if row["state"] != "reused" else count)
    covers = [
        (pair.old.picture if pair.old else None, pair.new.picture if pair.new else None)
        for pair in pairs
        if (pair.old and pair.old.picture) or (pair.new and pair.new.picture)
    ]
    return LayerLine(spec=diff.layer, row=row, facts=tuple(facts), covers=tuple(covers[:COVERS]))
