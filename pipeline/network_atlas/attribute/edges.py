"""The edges of a channel: of each layer just before it, the channels that add most to it, and those that take most."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from network_atlas.layers import LayerSpec, channel_slices

Row = dict[str, Any]
SIGNS = {"positive": 1, "negative": -1}


def edge_rows(
    parents: Sequence[LayerSpec],
    contributions: Float64[NDArray[np.float64], "examples channels"],
    weights: Float64[NDArray[np.float64], " channels"],
    means: Float64[NDArray[np.float64], " channels"],
    *,
    count: int,
) -> Iterator[Row]:
    """Yield the edges of one channel: for each parent and sign at most `count`, the strongest first.

    The channels of all parents stand side by side in the arrays. Edges are ranked by their mean over the examples.
    """
    if not len(contributions):
        return
    mean, deviation = contributions.mean(axis=0), contributions.std(axis=0)
    all_of_example = np.abs(contributions).sum(axis=1, keepdims=True)
    shares = np.abs(contributions) / np.where(all_of_example > 0, all_of_example, 1)
    for parent, part in zip(parents, channel_slices(parents), strict=True):
        for name, sign in SIGNS.items():
            # By number where values are equal, so that the order is the same everywhere.
            order = np.argsort(-sign * mean[part], kind="stable")[:count] + part.start
            strongest = [int(number) for number in order if sign * mean[number] > 0]
            for rank, number in enumerate(strongest, start=1):
                weight = float(weights[number])
                yield {
                    "parent_index": parent.index,
                    "parent": parent.name,
                    "parent_channel": number - part.start,
                    "sign": name,
                    "rank": rank,
                    "mean": float(mean[number]),
                    "deviation": float(deviation[number]),
                    "share": float(shares[:, number].mean()),
                    "agreement": float((np.sign(contributions[:, number]) == sign).mean()),
                    "weight": None if np.isnan(weight) else weight,
                    "wiring": None if np.isnan(weight) else weight * float(means[number]),
                }
