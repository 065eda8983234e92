"""When values differ by no more than they are rounded. Here alone, since whoever asks only this need not load Numba."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
ROUNDING = 16 * float(np.finfo(np.float32).eps)
"""By how much values may differ through rounding, relative to their size. A sum over a kernel and a mean over positions
in float32 round several times, and differently for other images; values that mean something differ by far more."""


def is_constant(low: Floats | float, high: Floats | float, size: Floats | float = 0.0) -> NDArray[np.bool_] | np.bool_:
    """Say whether values from `low` to `high`, of float32 maps, differ by no more than they are rounded.

    Numbers, or arrays of (channels,). `size` is that of the numbers that they were computed from, where it is larger.
    True where there are no values: where `low` is above `high`.
    """
    sizes = np.maximum(np.maximum(np.abs(low), np.abs(high)), size)
    return np.subtract(high, low) <= ROUNDING * sizes
