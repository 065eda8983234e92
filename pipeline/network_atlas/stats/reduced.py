"""The numbers to which one example's map of a channel is reduced, before they enter any statistic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

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
    """The reduced maps of some examples; arrays are (examples, channels of all layers).

    Where a layer's values on an example are not all finite, `without_non_finite` makes its numbers NaN (and `within`
    0). Statistics leave NaN out.
    """

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
    centre: NDArray[np.float32]
    """The values at each layer's centre position, of the sampled examples only."""

    def without_non_finite(self, sizes: Sequence[int]) -> Reduced:
        """Return the numbers without those of layers whose values on an example are not all finite.

        `sizes` are the layers' channels. A whole layer is left out on such an example: so all of its channels have the
        same examples, and can be compared.
        """
        is_finite = np.isfinite(self.spatial_mean) & np.isfinite(self.within)
        is_finite &= np.isfinite(self.spatial_maximum) & np.isfinite(self.spatial_minimum)
        if is_finite.all():
            return self
        starts = np.cumsum([0, *sizes[:-1]])
        keep = np.repeat(np.logical_and.reduceat(is_finite, starts, axis=1), sizes, axis=1)
        numbers = ("spatial_maximum", "spatial_minimum", "spatial_mean")
        left = {name: np.where(keep, getattr(self, name), np.float32(np.nan)) for name in numbers}
        return replace(self, **left, within=np.where(keep, self.within, 0.0))
