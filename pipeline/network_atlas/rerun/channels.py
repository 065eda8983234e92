"""The rows of a diff's table of channels, of one layer. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from network_atlas.layers import LayerSpec
from network_atlas.rerun.activations import Activations
from network_atlas.rerun.distributions import shift, wasserstein
from network_atlas.rerun.likeness import similarity
from network_atlas.rerun.pictures import Record
from network_atlas.rerun.rankings import among, jaccard, rank_biased_overlap
from network_atlas.rerun.sides import KINDS, Statistics
from network_atlas.store.diff_schemas import DIFF_CHANNELS

Row = dict[str, Any]
DISTANCES = {"spatial_maximum": "maximum_distance", "spatial_mean": "mean_distance"}


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSide:
    """One side of a layer, read."""

    layer: LayerSpec
    statistics: Statistics | None
    records: Mapping[int, Record]


@dataclass(frozen=True, slots=True, kw_only=True)
class Datasets:
    """Which examples both datasets have."""

    share: bool
    """Whether there are any."""
    shared: Collection[str] | None
    """Their ids; None if both have the same."""


def channel_rows(old: LayerSide, new: LayerSide, activations: Activations, datasets: Datasets) -> list[Row]:
    """Return one row for each channel number of either side, with the columns of `diff_schemas.DIFF_CHANNELS`."""
    both, either = (choose(old.layer.channels, new.layer.channels) for choose in (min, max))
    columns: dict[str, NDArray[Any] | list[Any]] = {
        **_statistics(old.statistics, new.statistics, both),
        **_rankings(old.statistics, new.statistics, both, datasets),
        **_matching(activations),
        **_pictures(old.records, new.records, activations, old.layer.channels),
        **_of_one_side("status", old, new, lambda side, channel: _status(side, channel)),
        **_of_one_side("dead", old, new, lambda side, channel: _dead(side, channel)),
    }
    rows = [
        dict.fromkeys(DIFF_CHANNELS.names)
        | {
            "layer_index": new.layer.index,
            "layer": new.layer.name,
            "channel": channel,
            "presence": "both" if channel < both else "old" if channel < old.layer.channels else "new",
            **{name: plain(values[channel]) if channel < len(values) else None for name, values in columns.items()},
        }
        for channel in range(either)
    ]
    return [{**row, "drift": _drift(row)} for row in rows]


def plain(value: Any) -> Any:
    """Return a value as tables have it: None for NaN, Python's numbers instead of NumPy's."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and np.isnan(value) else value


def _drift(row: Row) -> float | None:
    if row["dead_old"] is not None and row["dead_new"] is not None and (row["dead_old"] or row["dead_new"]):
        return float(row["dead_old"] != row["dead_new"])
    return None if row["correlation"] is None else min(1.0, 1.0 - row["correlation"])


def _statistics(old: Statistics | None, new: Statistics | None, both: int) -> dict[str, Any]:
    if old is None or new is None:
        return {}
    spread = np.sqrt(old.variance[:both])
    columns: dict[str, Any] = {
        "mean_shift": shift(old.mean[:both], new.mean[:both], spread),
        "spread_shift": shift(spread, np.sqrt(new.variance[:both]), spread),
    }
    for kind in KINDS:
        before, after = old.spreads[kind], new.spreads[kind]
        distances = np.array([wasserstein(before.histograms[n], after.histograms[n]) for n in range(both)])
        columns[DISTANCES[kind]] = shift(np.zeros(both), distances, np.sqrt(before.variance[:both]))
    return columns


def _rankings(old: Statistics | None, new: Statistics | None, both: int, datasets: Datasets) -> dict[str, Any]:
    if old is None or new is None or not datasets.share:
        return {}
    pairs = [
        (among(old.top[channel], datasets.shared), among(new.top[channel], datasets.shared)) for channel in range(both)
    ]
    depths = [min(len(first), len(second)) for first, second in pairs]
    return {
        # Of equally many of both: the tops of two rankings are comparable only to the same depth.
        "jaccard": [jaccard(a[:depth], b[:depth]) for (a, b), depth in zip(pairs, depths, strict=True)],
        "rank_biased_overlap": [rank_biased_overlap(a, b) for a, b in pairs],
    }


def _matching(activations: Activations) -> dict[str, Any]:
    matching = activations.matching
    if matching is None:
        return {}
    partners = [int(partner) if partner >= 0 else None for partner in matching.partners]
    return {
        "correlation": matching.at_index,
        "match": partners,
        "match_correlation": matching.correlations,
        "moved": matching.moved,
    }


def _pictures(
    old: Mapping[int, Record], new: Mapping[int, Record], activations: Activations, channels: int
) -> dict[str, Any]:
    matching = activations.matching
    partners = matching.partners if matching is not None else np.full(channels, -1)
    moved = matching.moved if matching is not None else np.zeros(channels, bool)
    return {
        "variant": [_variant(old.get(n)) for n in range(channels)],
        "picture_similarity": [_similarity(old.get(n), new.get(n)) for n in range(channels)],
        "match_picture_similarity": [
            _similarity(old.get(n), new.get(int(partners[n]))) if moved[n] else None for n in range(channels)
        ],
    }


def _variant(record: Record | None) -> str | None:
    return record.picture.variant if record and record.picture else None


def _similarity(old: Record | None, new: Record | None) -> float | None:
    first, second = (record.picture if record else None for record in (old, new))
    if first is None or second is None:
        return None
    return 1.0 if first.key == second.key else similarity(first.small, second.small)


def _of_one_side(name: str, old: LayerSide, new: LayerSide, of: Callable[[LayerSide, int], Any]) -> dict[str, Any]:
    return {
        f"{name}_{end}": [of(side, channel) for channel in range(side.layer.channels)]
        for end, side in (("old", old), ("new", new))
    }


def _status(side: LayerSide, channel: int) -> str | None:
    record = side.records.get(channel)
    return record.status if record else None


def _dead(side: LayerSide, channel: int) -> bool | None:
    return bool(side.statistics.dead[channel]) if side.statistics is not None else None
