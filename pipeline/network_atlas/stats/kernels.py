"""The updates of running statistics, compiled by Numba; each statistic's `update` calls its own.

Channels are the innermost loop where memory is laid out that way, so that the compiler works on many at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile a function on its first call, without the GIL; kept for later processes where there is a place for it."""
    try:
        return cast(Function, numba.njit(nogil=True, error_model="numpy", cache=True)(function))
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        return cast(Function, numba.njit(nogil=True, error_model="numpy")(function))


@compiled
def add_moments(values: Array, count: int, moments: tuple[Array, ...], active: Array) -> None:
    """Take `values`, (examples, channels), into running moments of `count` values, one example after the other.

    `moments` are mean, m2, m3, minimum and maximum, each (channels,) in float64.
    """
    mean, m2, m3, minimum, maximum = moments
    for example in range(values.shape[0]):
        before, after = float(count + example), float(count + example + 1)
        row = values[example]
        for c in range(row.shape[0]):
            value = float(row[c])
            delta = value - mean[c]
            step = delta / after
            term = delta * step * before
            m3[c] += term * step * (after - 2.0) - 3.0 * step * m2[c]
            m2[c] += term
            mean[c] += step
            minimum[c] = value if value < minimum[c] else minimum[c]
            maximum[c] = value if value > maximum[c] else maximum[c]
            active[c] += np.int64(value > 0)


@compiled
def add_best(
    values: Array, at: Array, numbers: Array, sign: int, best: Array, best_numbers: Array, best_at: Array
) -> None:
    """Put `values`, (examples, channels), of examples with `numbers`, into lists of the best, (channels, k).

    Numbers rise, from call to call too, so of equal examples the earlier stays.
    """
    examples, channels = values.shape
    k = best.shape[1]
    if k == 0:
        return
    worst, filled = best[:, k - 1].copy(), best_numbers[:, k - 1] >= 0  # side by side: most examples end here
    for example in range(examples):
        row = values[example]
        for c in range(channels):
            value = row[c]
            if not (sign * value > sign * worst[c] or (not filled[c] and value == value)):
                continue
            place = k - 1
            while place > 0 and (best_numbers[c, place - 1] < 0 or sign * value > sign * best[c, place - 1]):
                best[c, place] = best[c, place - 1]
                best_numbers[c, place] = best_numbers[c, place - 1]
                best_at[c, place] = best_at[c, place - 1]
                place -= 1
            best[c, place], best_numbers[c, place], best_at[c, place] = value, numbers[example], at[example, c]
            worst[c], filled[c] = best[c, k - 1], best_numbers[c, k - 1] >= 0


@compiled
def add_class_best(values: Array, at: Array, numbers: Array, classes: Array, lists: tuple[Array, ...]) -> None:
    """Put examples of `classes`, (examples,), into lists of the best of each class; see `add_best`.

    Examples of class -1, of no known label, are left out. `lists` are the values, numbers, positions and classes of the
    best, each (channels, k).
    """
    best, best_numbers, best_at, best_classes = lists
    examples, channels = values.shape
    k = best.shape[1]
    if k == 0:
        return
    for c in range(channels):
        for example in range(examples):
            value, own = values[example, c], classes[example]
            if own < 0 or not (value > best[c, k - 1] or (best_numbers[c, k - 1] < 0 and value == value)):
                continue
            place = k - 1  # the place that falls free: that of the class, or the last
            for other in range(k):
                if best_numbers[c, other] >= 0 and best_classes[c, other] == own:
                    place = other
                    break
            if best_numbers[c, place] >= 0 and not value > best[c, place]:
                continue
            while place > 0 and (best_numbers[c, place - 1] < 0 or value > best[c, place - 1]):
                best[c, place], best_numbers[c, place] = best[c, place - 1], best_numbers[c, place - 1]
                best_at[c, place], best_classes[c, place] = best_at[c, place - 1], best_classes[c, place - 1]
                place -= 1
            best[c, place], best_numbers[c, place] = value, numbers[example]
            best_at[c, place], best_classes[c, place] = at[example, c], own


@compiled
def add_histogram(bits: Array, counts: Array, first: int, shift: int, side: int) -> None:
    """Count float32 values, given as their `bits` (examples, channels), in `counts` (channels, buckets).

    Buckets are those of `stats.histogram`.
    """
    examples, channels = bits.shape
    for c in range(channels):
        for example in range(examples):
            value = bits[example, c]
            size = int((value & np.uint32(0x7FFFFFFF)) >> np.uint32(shift)) - first + 1
            size = min(max(size, 0), side)
            counts[c, side - size if value >> np.uint32(31) else side + size] += 1
