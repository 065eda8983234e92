"""The inner loops of activations in bfloat16 by tables, compiled by Numba. `tables` alone calls them.

Values in bfloat16 are given by their bits, as uint16.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from network_atlas.compiling import compiled

Array = NDArray[Any]
STRIP = 1024
"""Values that are computed together: what is kept of them between the loops is in the first cache."""


@compiled
def look_up(values: Array, table: Array, into: Array) -> None:
    """Set `into`, (values,), to the entries of a table, (65536,), for `values`, (values,) uint16; may be the same."""
    for i in range(values.shape[0]):
        into[i] = table[values[i]]


@compiled
def scale_by(gradient: Array, values: Array, slopes: Array, into: Array) -> None:
    """Set `into` to `gradient` times the entries of `slopes`, (65536,) float32, for `values`; rounded to the nearest.

    All but the slopes are (values,) uint16. What is not a number stays so if the low half of its bits is zero, so that
    rounding carries nothing into its sign: in bfloat16 it is, in the slopes it must be. The look-up has a loop of its
    own, so that the other is vectorized.
    """
    factors, products = np.empty(STRIP, np.float32), np.empty(STRIP, np.float32)
    bits = products.view(np.uint32)
    for start in range(0, values.shape[0], STRIP):
        these, given = values[start : start + STRIP], gradient[start : start + STRIP]
        results = into[start : start + STRIP]
        count = these.shape[0]
        for i in range(count):
            factors[i] = slopes[these[i]]
        for i in range(count):
            bits[i] = np.uint32(given[i]) << np.uint32(16)
            products[i] *= factors[i]
            last = (bits[i] >> np.uint32(16)) & np.uint32(1)
            results[i] = (bits[i] + np.uint32(0x7FFF) + last) >> np.uint32(16)
