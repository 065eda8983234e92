"""The numbers to which one example's map of a channel is reduced, before they enter any statistic."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FIELDS: dict[str, type] = {
    "spatial_maximum": np.float32,
    "spatial_maximum_at": np.int32,
    "spatial_minimum": np.float32,
    "spatial_minimum_at": np.int32,
    "spatial_mean": np.float32,
    "within": np.float64,
}
"""The numbers that each map becomes, with their types."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduced:
    """The reduced maps of some examples; arrays are (examples, channels of all layers)."""

    spatial_maximum: NDArray[np.float32]
    spatial_maximum_at: NDArray[np.int32]
    """Its flat position, row by row; the first of equal ones."""
    spatial_minimum: NDArray[np.float32]
    spatial_minimum_at: NDArray[np.int32]
    spatial_mean: NDArray[np.float32]
    within: NDArray[np.float64]
    """The sum of the squared distances of the map's values from their mean."""
    vectors: NDArray[np.float16]
    """The values at one position, of the sampled examples only: (sampled examples, channels of all layers)."""
