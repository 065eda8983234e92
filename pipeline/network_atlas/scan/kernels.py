"""The inner loops of the scan on a processor, compiled by Numba.

Every map is read once, while it is still in the cache: its peaks, their places, its means and spreads come out of one
pass. The same in torch takes six passes and five to ten times as long, more than the forward pass itself
(`scripts/bench/scan`). Channels are the innermost loop, so the compiler works on many at once; sums run over blocks of
64 positions in float32 and over blocks in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

BLOCK = 64
Array = NDArray[Any]
Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile a function on its first call, without the GIL; kept for later processes where there is a place for it."""
    try:
        return cast(Function, numba.njit(nogil=True, error_model="numpy", cache=True)(function))
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        return cast(Function, numba.njit(nogil=True, error_model="numpy")(function))


@numba.njit(nogil=True, fastmath={"contract"})
def _scale(rows: Array, scaled: Array, scale: Array, shift: Array) -> None:
    """Multiply and add in one step, rounded once, where the processor can: as torch normalizes."""
    for at in range(rows.shape[0]):
        row, into = rows[at], scaled[at]
        for c in range(row.shape[0]):
            into[c] = row[c] * scale[c] + shift[c]


@compiled
def reduce_maps(  # noqa: C901
    maps: Array,
    scaled: Array,
    scale: Array,
    shift: Array,
    peak: Array,
    peak_at: Array,
    trough: Array,
    trough_at: Array,
    mean: Array,
    within: Array,
) -> None:
    """Reduce `maps`, float32 (images, positions, channels), into arrays of shape (images, channels).

    On the way `scaled`, of the shape of `maps`, becomes maps * scale + shift, with a number of each per channel; where
    it holds no images it is left alone.

    Ties go to the first position. `within` is the sum of squared distances from the map's own mean; counting from the
    first position's value, where that is finite, keeps large sums from cancelling. Where a map has a value that is not
    a number, so is all that is said of it.
    """
    images, positions, channels = maps.shape
    scaling = scaled.shape[0] > 0
    high, low = np.empty(channels, np.float32), np.empty(channels, np.float32)
    origins = np.empty(channels, np.float32)
    high_at, low_at = np.empty(channels, np.int32), np.empty(channels, np.int32)
    total, squares = np.empty(channels, np.float64), np.empty(channels, np.float64)
    part, part_squares = np.empty(channels, np.float32), np.empty(channels, np.float32)
    for image in range(images):
        first = maps[image, 0]
        for c in range(channels):
            high[c] = low[c] = first[c]
            high_at[c] = low_at[c] = 0
            origins[c] = first[c] if np.isfinite(first[c]) else np.float32(0)
            total[c] = squares[c] = 0.0
        for start in range(0, positions, BLOCK):
            stop = min(start + BLOCK, positions)
            for c in range(channels):
                part[c] = part_squares[c] = np.float32(0)
            at = start
            while at + 4 <= stop:  # four rows at a time, for fewer passes over the running values
                if scaling:
                    _scale(maps[image, at : at + 4], scaled[image, at : at + 4], scale, shift)
                one, two, three, four = maps[image, at], maps[image, at + 1], maps[image, at + 2], maps[image, at + 3]
                here = np.int32(at)
                for c in range(channels):
                    a, b, d, e = one[c], two[c], three[c], four[c]
                    best, place = high[c], high_at[c]
                    more = a > best
                    best, place = (a if more else best), (here if more else place)
                    more = b > best
                    best, place = (b if more else best), (here + np.int32(1) if more else place)
                    more = d > best
                    best, place = (d if more else best), (here + np.int32(2) if more else place)
                    more = e > best
                    high[c] = e if more else best
                    high_at[c] = here + np.int32(3) if more else place
                    best, place = low[c], low_at[c]
                    less = a < best
                    best, place = (a if less else best), (here if less else place)
                    less = b < best
                    best, place = (b if less else best), (here + np.int32(1) if less else place)
                    less = d < best
                    best, place = (d if less else best), (here + np.int32(2) if less else place)
                    less = e < best
                    low[c] = e if less else best
                    low_at[c] = here + np.int32(3) if less else place
                    origin = origins[c]
                    a, b, d, e = a - origin, b - origin, d - origin, e - origin
                    part[c] += (a + b) + (d + e)
                    part_squares[c] += (a * a + b * b) + (d * d + e * e)
                at += 4
            while at < stop:
                row = maps[image, at]
                if scaling:
                    _scale(maps[image, at : at + 1], scaled[image, at : at + 1], scale, shift)
                for c in range(channels):
                    a = row[c]
                    more, less = a > high[c], a < low[c]
                    high[c], high_at[c] = (a if more else high[c]), (np.int32(at) if more else high_at[c])
                    low[c], low_at[c] = (a if less else low[c]), (np.int32(at) if less else low_at[c])
                    a = a - origins[c]
                    part[c] += a
                    part_squares[c] += a * a
                at += 1
            for c in range(channels):
                total[c] += part[c]
                squares[c] += part_squares[c]
        for c in range(channels):
            broken = np.isnan(total[c])
            peak[image, c] = np.float32(np.nan) if broken else high[c]
            trough[image, c] = np.float32(np.nan) if broken else low[c]
            peak_at[image, c], trough_at[image, c] = high_at[c], low_at[c]
            mean[image, c] = np.float32(origins[c] + total[c] / positions)
            spread = squares[c] - total[c] * total[c] / positions
            within[image, c] = 0.0 if spread < 0 else spread


@compiled
def add_moments(
    values: Array, count: int, mean: Array, m2: Array, m3: Array, minimum: Array, maximum: Array, active: Array
) -> None:
    """Take `values`, (examples, channels), into running moments of `count` values, one example after the other."""
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
def add_class_best(
    values: Array,
    at: Array,
    numbers: Array,
    classes: Array,
    best: Array,
    best_numbers: Array,
    best_at: Array,
    best_classes: Array,
) -> None:
    """Put examples of `classes`, (examples,), into lists of the best of each class; see `add_best`.

    Examples of class -1, of no known label, are left out.
    """
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

    Buckets are those of `network_atlas.stats.histogram`.
    """
    examples, channels = bits.shape
    for c in range(channels):
        for example in range(examples):
            value = bits[example, c]
            size = int((value & np.uint32(0x7FFFFFFF)) >> np.uint32(shift)) - first + 1
            size = min(max(size, 0), side)
            counts[c, side - size if value >> np.uint32(31) else side + size] += 1
