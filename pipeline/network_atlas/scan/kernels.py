"""The inner loop of the scan on a processor, compiled by Numba: it reduces maps.

Every map is read once, while it is still in the cache: its extremes, their positions, its mean and its spread come out
of one pass. The same in torch takes six passes and five to ten times as long, more than the forward pass itself
(`scripts/bench/scan`). Channels are the innermost loop, so the compiler works on many at once. Where there are few,
neighbouring positions lie side by side in a row, as lanes, and are put together at the end: a map of 16 channels takes
a third of the time. Sums run over blocks of 64 rows in float32 and over blocks in float64.

The steps of the loop are functions that LLVM is made to inline: called, they would hide from it that the running
arrays do not overlap, and it would not vectorize.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from network_atlas.compiling import compiled, inlined

BLOCK = 64
WIDE = 128
"""Lanes of a row up to which neighbouring positions are put side by side."""
Array = NDArray[Any]
Extremes = tuple[Array, Array, Array, Array]
"""The running maximum of each lane, float32, its row, int32, and those of the minimum: (lanes,)."""
Sums = tuple[Array, Array, Array]
"""Of each lane: the value that is subtracted first, the sum, and the sum of squares; float32 (lanes,)."""
Totals = tuple[Array, Array]
"""The sum of each lane and the sum of squares, over all blocks, float64 (lanes,)."""
Into = tuple[Array, Array, Array, Array, Array, Array]
"""One array for each of `network_atlas.stats.reduced.FIELDS`, in their order: (images, channels)."""


@inlined
def _start(row: Array, channels: int, extremes: Extremes, origins: Array) -> None:
    """Begin a map with its first row; all lanes of a channel count from the value at the first position."""
    high, high_at, low, low_at = extremes
    for c in range(row.shape[0]):
        high[c] = low[c] = row[c]
        high_at[c] = low_at[c] = 0
        first = row[c % channels]
        origins[c] = first if np.isfinite(first) else np.float32(0)


@inlined
def _join_lanes(channels: int, extremes: Extremes, totals: Totals) -> None:
    """Put the lanes of each channel together in its first one, with positions for rows; ties go to the first."""
    high, high_at, low, low_at = extremes
    total, squares = totals
    fold = total.shape[0] // channels
    if fold == 1:
        return
    for c in range(channels):
        high_at[c], low_at[c] = high_at[c] * fold, low_at[c] * fold
    for lane in range(1, fold):
        for c in range(channels):
            other = lane * channels + c
            at = high_at[other] * fold + lane
            if high[other] > high[c] or (high[other] == high[c] and at < high_at[c]):
                high[c], high_at[c] = high[other], at
            at = low_at[other] * fold + lane
            if low[other] < low[c] or (low[other] == low[c] and at < low_at[c]):
                low[c], low_at[c] = low[other], at
            total[c] += total[other]
            squares[c] += squares[other]


@inlined
def _add_fours(maps: Array, start: int, extremes: Extremes, sums: Sums) -> None:
    """Take in a block of rows, four at a time, for fewer passes over the running values; leave out up to three rows."""
    high, high_at, low, low_at = extremes
    origins, part, part_squares = sums
    for at in range(start, min(start + BLOCK, maps.shape[0]) - 3, 4):
        row_a, row_b, row_c, row_d = maps[at], maps[at + 1], maps[at + 2], maps[at + 3]
        here = np.int32(at)
        for c in range(row_a.shape[0]):
            # Selections instead of branches, so that the loop vectorizes.
            v, w, x, y = row_a[c], row_b[c], row_c[c], row_d[c]
            best, best_at = high[c], high_at[c]
            more = v > best
            best, best_at = (v if more else best), (here if more else best_at)
            more = w > best
            best, best_at = (w if more else best), (here + np.int32(1) if more else best_at)
            more = x > best
            best, best_at = (x if more else best), (here + np.int32(2) if more else best_at)
            more = y > best
            high[c] = y if more else best
            high_at[c] = here + np.int32(3) if more else best_at
            best, best_at = low[c], low_at[c]
            less = v < best
            best, best_at = (v if less else best), (here if less else best_at)
            less = w < best
            best, best_at = (w if less else best), (here + np.int32(1) if less else best_at)
            less = x < best
            best, best_at = (x if less else best), (here + np.int32(2) if less else best_at)
            less = y < best
            low[c] = y if less else best
            low_at[c] = here + np.int32(3) if less else best_at
            origin = origins[c]
            v, w, x, y = v - origin, w - origin, x - origin, y - origin
            part[c] += (v + w) + (x + y)
            part_squares[c] += (v * v + w * w) + (x * x + y * y)


@inlined
def _add_rest(maps: Array, start: int, extremes: Extremes, sums: Sums) -> None:
    """Take in the rows of a block that `_add_fours` leaves out, one at a time."""
    high, high_at, low, low_at = extremes
    origins, part, part_squares = sums
    stop = min(start + BLOCK, maps.shape[0])
    for at in range(stop - (stop - start) % 4, stop):
        row = maps[at]
        for c in range(row.shape[0]):
            value = row[c]
            more, less = value > high[c], value < low[c]
            high[c], high_at[c] = (value if more else high[c]), (np.int32(at) if more else high_at[c])
            low[c], low_at[c] = (value if less else low[c]), (np.int32(at) if less else low_at[c])
            value = value - origins[c]
            part[c] += value
            part_squares[c] += value * value


@inlined
def _finish(image: int, positions: int, extremes: Extremes, origins: Array, totals: Totals, into: Into) -> None:
    """Write an image's numbers."""
    total, squares = totals
    high, high_at, low, low_at = extremes
    spatial_maximum, maximum_at, spatial_minimum, minimum_at, spatial_mean, within = into
    for c in range(spatial_maximum.shape[1]):
        is_broken = np.isnan(total[c])  # NaN compares false, so extremes alone would not show it
        spatial_maximum[image, c] = np.float32(np.nan) if is_broken else high[c]
        spatial_minimum[image, c] = np.float32(np.nan) if is_broken else low[c]
        maximum_at[image, c], minimum_at[image, c] = high_at[c], low_at[c]
        spatial_mean[image, c] = np.float32(origins[c] + total[c] / positions)
        spread = squares[c] - total[c] * total[c] / positions
        within[image, c] = 0.0 if spread < 0 else spread  # rounding may leave a little less than nothing


def reduce_maps(maps: Array, into: Into) -> None:
    """Reduce `maps`, float32 (images, positions, channels), into arrays of (images, channels).

    Ties go to the first position. `within` is the sum of squared distances from the map's own mean; counting from the
    first position's value, where that is finite, keeps large sums from cancelling. Where a map has a value that is not
    a number, its numbers are NaN.
    """
    images, positions, channels = maps.shape
    fold = 1
    while positions % (2 * fold) == 0 and 2 * fold * channels <= WIDE:
        fold *= 2
    _reduce_rows(maps.reshape(images, positions // fold, fold * channels), positions, into)


@compiled
def _reduce_rows(maps: Array, positions: int, into: Into) -> None:
    """Reduce `maps`, (images, rows, lanes), of `positions` positions; a row has some positions' channels in a row."""
    images, rows, lanes = maps.shape
    channels = into[0].shape[1]
    high, low = np.empty(lanes, np.float32), np.empty(lanes, np.float32)
    high_at, low_at = np.empty(lanes, np.int32), np.empty(lanes, np.int32)
    origins, part = np.empty(lanes, np.float32), np.empty(lanes, np.float32)
    part_squares = np.empty(lanes, np.float32)
    total, squares = np.empty(lanes, np.float64), np.empty(lanes, np.float64)
    extremes, sums = (high, high_at, low, low_at), (origins, part, part_squares)
    for image in range(images):
        _start(maps[image, 0], channels, extremes, origins)
        total[:] = squares[:] = 0.0
        for start in range(0, rows, BLOCK):
            # float32 has twice as many lanes as float64, and over 64 values its rounding stays small.
            part[:] = part_squares[:] = np.float32(0)
            _add_fours(maps[image], start, extremes, sums)
            _add_rest(maps[image], start, extremes, sums)
            for c in range(lanes):
                total[c] += part[c]
                squares[c] += part_squares[c]
        _join_lanes(channels, extremes, (total, squares))
        _finish(image, positions, extremes, origins, (total, squares), into)
