"""Merge the partials of one layer. The result depends on what was scanned, not on how or in which order.

Partials are merged in the order of their spans, and only when the spans cover the dataset exactly: a gap or an
overlap is an error that names it.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import MergeError
from pipeline.stats.moments import Moments, merge_all

Row = Mapping[str, Any]
Example = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelScan:
    """What the whole dataset says about one channel."""

    count: int
    mean: float
    variance: float
    minimum: float
    maximum: float
    top: tuple[Example, ...]
    bottom: tuple[Example, ...]
    sample_mean: NDArray[np.float32]
    sample_maximum: NDArray[np.float32]


def merge_partials(rows: Sequence[Row], *, examples: int, top_k: int, bottom_k: int) -> dict[int, ChannelScan]:
    """Return the merged scan of each channel of one layer, from the partial rows of all its spans.

    Raises MergeError when the spans do not cover 0..`examples` exactly.
    """
    spans: dict[tuple[int, int], list[Row]] = {}
    for row in rows:
        spans.setdefault((row["start"], row["stop"]), []).append(row)
    check_cover(sorted(spans), examples)
    parts = [sorted(spans[span], key=lambda row: int(row["channel"])) for span in sorted(spans)]
    moments = merge_all(_moments(part) for part in parts)
    variance = moments.variance
    return {
        int(rows_of_channel[0]["channel"]): ChannelScan(
            count=sum(row["count"] for row in rows_of_channel),
            mean=float(moments.mean[number]),
            variance=float(variance[number]),
            minimum=float(moments.minimum[number]),
            maximum=float(moments.maximum[number]),
            top=_best(rows_of_channel, "top", top_k, sign=-1),
            bottom=_best(rows_of_channel, "bottom", bottom_k, sign=1),
            sample_mean=_joined(rows_of_channel, "sample_mean"),
            sample_maximum=_joined(rows_of_channel, "sample_maximum"),
        )
        for number, rows_of_channel in enumerate(zip(*parts, strict=True))
    }


def check_cover(spans: Sequence[tuple[int, int]], examples: int) -> None:
    """Raise MergeError unless the sorted `spans` cover 0..`examples` without gap or overlap."""
    expected = 0
    for start, stop in spans:
        if start > expected:
            raise MergeError(f"no partial covers the examples {expected}..{start}; run the scan again")
        if start < expected:
            raise MergeError(f"two partials cover the examples {start}..{min(expected, stop)}; keep only one of them")
        expected = stop
    if expected != examples:
        raise MergeError(f"the partials cover {expected} examples, the dataset has {examples}; run the scan again")


def _moments(rows: Sequence[Row]) -> Moments:
    def column(name: str) -> NDArray[np.float64]:
        return np.array([row[name] for row in rows], dtype=np.float64)

    return Moments(
        values=int(rows[0]["values"]),
        mean=column("mean"),
        m2=column("m2"),
        minimum=column("minimum"),
        maximum=column("maximum"),
    )


def _best(rows: Sequence[Row], name: str, k: int, *, sign: int) -> tuple[Example, ...]:
    candidates = (example for row in rows for example in row[name])
    return tuple(heapq.nsmallest(k, candidates, key=lambda example: (sign * example["value"], example["example_id"])))


def _joined(rows: Sequence[Row], name: str) -> NDArray[np.float32]:
    return np.concatenate([np.array(row[name], dtype=np.float32) for row in rows])
