"""Score real images at units that the scan does not measure: directions, whole layers and sums.

The scan keeps each channel's values on a fixed sample of the dataset. A direction's score is a mean over positions of a
product that is not linear, so it does not follow from these. It is computed from the images themselves, by the
picture's own objective, so that picture and images are compared like with like.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray

from network_atlas.models.memory import FittingBatch
from network_atlas.pictures.objectives import scores
from network_atlas.pictures.stored import shown
from network_atlas.pictures.target import Target
from network_atlas.stats.sample import sample_hash
from network_atlas.units import Single, Sum

Pixels = UInt8[NDArray[np.uint8], "height width channels"]
Reference = list[dict[str, object]]
"""Pairs of `example_id` and `value`, the highest value first."""


def reference_ids(sampled: Sequence[str], count: int) -> list[str]:
    """Return the `count` sampled examples with the smallest hashes: the same ones in every layer."""
    return sorted(sampled, key=sample_hash)[:count]


@torch.inference_mode()
def references(
    target: Target,
    units: Sequence[Single | Sum],
    example_ids: Sequence[str],
    read: Callable[[str], Pixels],
    fitting: FittingBatch,
) -> list[Reference]:
    """Return each unit's values on the examples. Every image is read once, and passes the network once."""

    def of_part(part: slice) -> list[list[float]]:
        maps = target.maps(shown(target, np.stack([read(example_id) for example_id in example_ids[part]])))
        count = len(example_ids[part])
        values = torch.stack([scores(maps, [unit] * count) for unit in units], dim=1)  # (images, units)
        rows: list[list[float]] = values.tolist()
        return rows

    values = np.array(fitting.over(of_part, len(example_ids)), dtype=np.float32).reshape(len(example_ids), len(units))
    return [_sorted(example_ids, values[:, number]) for number in range(len(units))]


def _sorted(example_ids: Sequence[str], values: NDArray[np.float32]) -> Reference:
    pairs = sorted(zip(example_ids, values.tolist(), strict=True), key=lambda pair: (-pair[1], pair[0]))
    return [{"example_id": example_id, "value": value} for example_id, value in pairs]
