"""Say what drives a channel on each of two groups of its best examples: rows of the table `circuits`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from network_atlas.attribute.groups import Groups
from network_atlas.layers import LayerSpec, channel_slices

Row = dict[str, Any]
DECIMALS = 6
"""Of vectors: further digits differ between kinds of processors."""


def circuit_rows(
    groups: Groups | None,
    contributions: Float64[NDArray[np.float64], "examples channels"],
    parents: Sequence[LayerSpec],
    example_ids: Sequence[str],
) -> Iterator[Row]:
    """Yield a row for each group of a channel's examples, if they are clearly apart.

    `contributions` has A of the channels of all `parents`, side by side; a row has its mean over the group's examples,
    of unit length. This is the centre of the group, as PURE's "virtual neurons" have one (arXiv 2404.06453).
    """
    if groups is None or not groups.apart:
        return
    for number in (0, 1):
        members = np.flatnonzero(groups.labels == number)
        mean = contributions[members].mean(axis=0)
        length = float(np.linalg.norm(mean))
        vector = np.round((mean / length if length > 0 else mean).astype(np.float32), DECIMALS)
        yield {
            "group": number,
            "examples": [example_ids[int(member)] for member in members],
            "parents": [
                {"parent": parent.name, "vector": vector[part].tolist()}
                for parent, part in zip(parents, channel_slices(parents), strict=True)
            ],
        }
