"""Merge the statistics of the images themselves, in the order of their spans. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from network_atlas.stats.partial import check_cover

IMAGES = 256
"""The largest number of images that are measured: the first of the sample by hash. At one frequency magnitudes spread
by about half of their mean, so the mean of 256 is known to 3 %."""

Row = Mapping[str, Any]


def merge_images(rows: Sequence[Row], *, examples: int) -> dict[str, object]:
    """Return the statistics of the whole dataset, in the columns of `store.scan_schemas.DATASET_STATISTICS` but for
    the dataset's name.

    Raises MergeError when the spans do not have as many examples together.
    """
    ordered = sorted(rows, key=lambda row: str(row["first"]))
    ends = np.cumsum([int(row["stop"]) for row in ordered]).tolist()
    check_cover(list(pairwise([0, *ends])), examples)
    count = sum(int(row["count"]) for row in ordered)
    magnitude, colour, product = (
        np.sum([np.asarray(row[name], dtype=np.float64) for row in ordered], axis=0) / max(1, count)
        for name in ("magnitude_sum", "colour_sum", "colour_product_sum")
    )
    covariance = product - np.outer(colour, colour).flatten()
    return {
        "examples": examples,
        "count": count,
        **{name: ordered[0][name] for name in ("height", "width", "channels")},
        "magnitude": magnitude.astype(np.float32),
        "colour_mean": colour.astype(np.float32),
        "colour_covariance": covariance.astype(np.float32),
    }
