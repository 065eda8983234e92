"""Scale vectors to length 1, so that their products are cosines."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Float64
from numpy.typing import NDArray


def unit_length(
    vectors: Float[NDArray[np.floating[Any]], "vectors size"],
) -> Float64[NDArray[np.float64], "vectors size"]:
    """Return vectors scaled to length 1; those of zeros stay as they are."""
    values = vectors.astype(np.float64, copy=False)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    units: Float64[NDArray[np.float64], "vectors size"] = values / np.where(lengths > 0, lengths, 1.0)
    return units
