"""Inner loops over numbers in bfloat16, compiled by Numba: activations by tables, and a gradient of two parts.

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


@compiled
def add_where_positive(one: Array, other: Array, output: Array, into: Array) -> None:
    """Set `into` to `one` plus `other`, rounded to the nearest, or to zero where `output` is not positive.

    All are (values,) uint16. Where `output` is not a number `into` is the sum, as torch's gradient of ReLU has it.
    """
    sums, others = np.empty(STRIP, np.float32), np.empty(STRIP, np.float32)
    bits, bits_of_others = sums.view(np.uint32), others.view(np.uint32)
    for start in range(0, one.shape[0], STRIP):
        ones, more = one[start : start + STRIP], other[start : start + STRIP]
        outputs, results = output[start : start + STRIP], into[start : start + STRIP]
        for i in range(ones.shape[0]):
            bits[i] = np.uint32(ones[i]) << np.uint32(16)
            bits_of_others[i] = np.uint32(more[i]) << np.uint32(16)
            sums[i] += others[i]
            last = (bits[i] >> np.uint32(16)) & np.uint32(1)
            rounded = np.uint16((bits[i] + np.uint32(0x7FFF) + last) >> np.uint32(16))
            is_nan = (outputs[i] & np.uint16(0x7FFF)) > np.uint16(0x7F80)
            results[i] = rounded if (np.int16(outputs[i]) > 0) | is_nan else np.uint16(0)
