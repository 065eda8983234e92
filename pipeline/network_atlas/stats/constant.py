"""When values differ by no more than they are rounded, and values in units of how much they differ.

Here alone, since whoever asks only this need not load Numba.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
TERMS = 16_384
"""Terms of a sum in float32, as over the kernel of a convolution, that rounding is reckoned for."""
ROUNDING = TERMS**0.5 * float(np.finfo(np.float32).eps)
"""By how much values may differ through rounding, relative to their size: 128 units in the last place.

The errors of the steps of a sum of n terms of one sign add up like a random walk's, to about half a unit in the last
place times the root of n (Higham and Mary 2019), once up and once down. Sums of torch over 64 to 25,088 terms, whose
exact value is the same for all images, differ by 3 to 54. What cancels inside a layer rounds by more, which its values
do not show. Values that mean something differ by far more."""


def is_constant(low: Floats | float, high: Floats | float, size: Floats | float = 0.0) -> NDArray[np.bool_] | np.bool_:
    """Say whether values from `low` to `high`, of float32 maps, differ by no more than they are rounded.

    Numbers, or arrays of (channels,). `size` is that of the numbers that they were computed from, where it is larger.
    True where there are no values: where `low` is above `high`.
    """
    sizes = np.maximum(np.maximum(np.abs(low), np.abs(high)), size)
    constant: NDArray[np.bool_] | np.bool_ = np.subtract(high, low) <= ROUNDING * sizes
    return constant


def standardized(values: NDArray[np.floating], size: Floats | float = 0.0) -> NDArray[np.float64]:
    """Return values (examples, channels) with mean 0 and length 1 over the examples; NaN for constant channels.

    `size`, (channels,), is that of the numbers that the values were computed from, where it is larger.
    """
    exact = values.astype(np.float64)
    centred = exact - exact.mean(axis=0)
    moves = ~np.asarray(is_constant(exact.min(axis=0), exact.max(axis=0), size))
    lengths = np.linalg.norm(centred, axis=0)
    units: NDArray[np.float64] = np.divide(centred, lengths, out=np.full_like(centred, np.nan), where=moves)
    return units
