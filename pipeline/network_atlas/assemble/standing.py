"""How a picture compares with the images of the dataset, and the status that follows from that. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from network_atlas.assemble.examples import Row
from network_atlas.plan.pictures import Picture
from network_atlas.plan.references import sampled_by_scan
from network_atlas.stats.merge import LayerScan
from network_atlas.stats.sample import are_comparable, percentile_of

WEAK_BELOW = 75.0
"""A picture whose percentile is lower is weak: many real images excite the unit better.

Pictures of the default recipe lie at 100, in the first layers, where contrast alone counts, at 95 and more.
"""
WEAK_RANK = 5
"""A class's picture is weak when its class is not among the network's best five.

Only classes are compared like this. The channels of a layer differ in size, so that a good picture of a quiet channel
may excite many others more.
"""
UNSTABLE_BELOW = 0.5
"""Pictures of one unit whose agreement over seeds is lower excite different channels of the layer."""


def picture_status(picture: Picture, status: str, shown: Row) -> str:
    """Return what became of a picture: its status as it was made, or what its measurements say of an 'ok' one."""
    if status != "ok":
        return status
    percentile, rank, agreed = shown["percentile"], shown["rank"], shown["agreement"]
    # Nothing is said of the rank of a class's minimized picture: many classes are equally far from most images.
    of_class = picture.objective in ("logit", "probability") and picture.sign > 0
    if (percentile is not None and percentile < WEAK_BELOW) or (of_class and rank is not None and rank > WEAK_RANK):
        return "weak"
    return "unstable" if agreed is not None and agreed < UNSTABLE_BELOW else "ok"


def standing(picture: Picture, score: float, values: NDArray[np.float32] | None) -> tuple[float | None, float | None]:
    """Return how a score compares with those of sampled examples: its percentile, and as a multiple of the best one.

    `values` are the examples' scores, (examples,). For a minimized picture all signs are turned. (None, None) where
    there is nothing to compare with.
    """
    if values is None:
        return None, None
    percentile = percentile_of(picture.sign * score, picture.sign * values)
    best = float((picture.sign * values).max())
    times = picture.sign * score / best if best > 0 and np.isfinite(score) else None
    return percentile, times


def sampled_scores(picture: Picture, scan: LayerScan | None, measured: Mapping[str, Any]) -> NDArray[np.float32] | None:
    """Return what sampled examples score at a picture's objective, (examples,); None where that is not known.

    By the scan (`plan.references`), or as calibration measured it on examples (`measured`).
    """
    if measured.get("reference"):
        values = np.array([example["value"] for example in measured["reference"]], dtype=np.float32)
        return values if are_comparable(values) else None
    return sampled_by_scan(picture, scan)
