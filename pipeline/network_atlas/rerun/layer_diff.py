"""One layer of a diff: whether it was reused, and if not, what changed in it.

Both sides of a layer are read, compared and left behind, so that memory is that of the largest layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from network_atlas.analysis.example_files import ExampleFiles
from network_atlas.layers import LayerSpec
from network_atlas.rerun.activations import Activations, compare_activations
from network_atlas.rerun.channels import Datasets, LayerSide, Row, channel_rows, plain
from network_atlas.rerun.cross import Networks, cross_columns
from network_atlas.rerun.pictures import Record, records_of
from network_atlas.rerun.sides import Side
from network_atlas.store.diff_schemas import DIFF_LAYERS

CHANGED_ABOVE = 0.5
"""Drift above which a channel counts as changed: less than half of its correlation with what it was is left."""
REUSED, RECOMPUTED, SAME_WEIGHTS, ADDED, REMOVED = "reused", "recomputed", "same_weights", "added", "removed"
CROSS = ("old_picture_in_new", "new_picture_in_old")
NOT_OF_A_LAYER = ("model.weights", "model.classes", "sweep.")
"""Settings of snapshots that make no difference to a layer of the same weights. Names of classes are shown only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerDiff:
    """What changed in one layer; without `channels` where there is nothing to compare."""

    layer: LayerSpec
    row: Row
    """With the columns of `diff_schemas.DIFF_LAYERS`."""
    channels: Sequence[Row] = ()
    old: Mapping[int, Record]
    new: Mapping[int, Record]


def diff_layer(name: str, old: Side, new: Side, datasets: Datasets, networks: Networks | None = None) -> LayerDiff:
    """Return what changed in a layer that one or both snapshots have; with networks, also cross-activation."""
    state = state_of(name, old, new)
    layer = new.layers.get(name) or old.layers[name]
    row = _empty_row(name, old, new) | {"state": state}
    if state not in (RECOMPUTED, SAME_WEIGHTS):
        count = layer.channels if state == REUSED else 0
        unchanged = {"drift": 0.0, "changed": 0, "moved": 0, "died": 0, "woke": 0, "worse": 0}
        return LayerDiff(layer=layer, row=row | (unchanged if count else {}), old={}, new={})
    variant = common_variant(old.variants(old.layers[name]), new.variants(layer))
    sides = _read(old, name, variant), _read(new, name, variant)
    activations = compare_activations(old.sample(old.layers[name]), new.sample(layer))
    channels = channel_rows(*sides, activations, datasets)
    if networks is not None and variant is not None:
        crossed = cross_columns(old, new, networks, layer, variant)
        of_row = {name: values.get for name, values in crossed.items()}
        channels = [{**row, **{name: of(row["channel"]) for name, of in of_row.items()}} for row in channels]
    row |= _activation_columns(activations) | _channel_columns(channels)
    row["notes"] = notes(sides, activations, datasets, variant)
    return LayerDiff(layer=layer, row=row, channels=channels, old=sides[0].records, new=sides[1].records)


def common_variant(old: Sequence[str], new: Sequence[str]) -> str | None:
    """Return the first old variant that is also a new one."""
    return next((variant for variant in old if variant in new), None)


def _read(side: Side, name: str, variant: str | None) -> LayerSide:
    layer = side.layers[name]
    records = records_of(side.records(layer), variant, ExampleFiles(side.store))
    return LayerSide(layer=layer, statistics=side.statistics(layer), records=records)


def state_of(name: str, old: Side, new: Side) -> str:
    """Say how a layer of the new snapshot came from the old one; see `state` in `diff_schemas.DIFF_LAYERS`."""
    if name not in old.layers or name not in new.layers:
        return ADDED if name in new.layers else REMOVED
    if old.manifest.upstream[name] != new.manifest.upstream[name]:
        return RECOMPUTED
    # Tables are named by their content.
    tables = ([file.path for file in side.tables(side.layers[name])] for side in (old, new))
    alike = made_alike(old, new) and old.manifest.scan_of(name) == new.manifest.scan_of(name)
    return REUSED if len({*map(tuple, tables)}) == 1 or alike else SAME_WEIGHTS


def made_alike(old: Side, new: Side) -> bool:
    """Say whether both snapshots were made with the same settings from the same examples, but for weights and sweep."""
    settings = [
        {name: value for name, value in side.manifest.config.items() if not name.startswith(NOT_OF_A_LAYER)}
        for side in (old, new)
    ]
    return settings[0] == settings[1] and old.examples == new.examples


def _empty_row(name: str, old: Side, new: Side) -> Row:
    layer = new.layers.get(name) or old.layers[name]
    before, after = old.layers.get(name), new.layers.get(name)
    return dict.fromkeys(DIFF_LAYERS.names) | {
        "layer_index": layer.index,
        "layer": name,
        "channels_old": before.channels if before else None,
        "channels_new": after.channels if after else None,
        "upstream_old": old.manifest.upstream.get(name),
        "upstream_new": new.manifest.upstream.get(name),
        "notes": [],
    }


def _activation_columns(activations: Activations) -> Row:
    columns: Row = {
        "images": activations.images,
        "alignment": activations.alignment,
        "identity": activations.identity,
    }
    matching = activations.matching
    if matching is None:
        return columns
    return columns | {
        "index_correlation": mean(matching.at_index),
        "random_correlation": plain(matching.random_mean),
        "p_value": matching.p_value,
        "match_correlation": mean(matching.correlations),
        "chance_correlation": matching.chance,
        "matched": int(matching.alike.sum()),
    }


def _channel_columns(rows: Sequence[Row]) -> Row:
    drifts = [row["drift"] for row in rows if row["drift"] is not None]
    return {
        "drift": mean(drifts),
        "changed": sum(drift > CHANGED_ABOVE for drift in drifts),
        "moved": sum(bool(row["moved"]) for row in rows),
        "died": sum(row["dead_new"] is True and row["dead_old"] is False for row in rows),
        "woke": sum(row["dead_old"] is True and row["dead_new"] is False for row in rows),
        "worse": sum(row["status_old"] == "ok" and row["status_new"] not in ("ok", None) for row in rows),
        **{
            name: mean([row[name] for row in rows if row[name] is not None])
            for name in ("jaccard", "rank_biased_overlap", "picture_similarity", *CROSS)
        },
    }


def mean(values: Any) -> float | None:
    """Return the mean of the values that are known, or None if there are none."""
    known = np.asarray(values, float)
    known = known[~np.isnan(known)]
    return float(known.mean()) if len(known) else None


def notes(sides: Sequence[LayerSide], activations: Activations, datasets: Datasets, variant: str | None) -> list[str]:
    """Return in sentences why something is not compared."""
    reasons = [
        (bool(activations.note), activations.note),
        (not datasets.share, "top examples are not compared: the datasets share no example"),
        (
            any(side.statistics is None for side in sides),
            "distributions are not compared: no dataset on one side",
        ),
        (variant is None, "pictures are not compared: the snapshots have no variant in common"),
        (
            sides[0].layer.channels != sides[1].layer.channels,
            f"the layer had {sides[0].layer.channels} channels and has {sides[1].layer.channels}",
        ),
    ]
    return [text for applies, text in reasons if applies]
