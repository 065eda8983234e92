"""The reduction of maps on a processor, compiled by Numba.

Every map is read once, while it is still in the cache: its extremes, their positions, its mean and its spread come out
of one pass. The same in torch takes six passes and five to ten times as long, more than the forward pass itself
(`scripts/bench/scan`). Channels are the innermost loop, so that the compiler works on many at once. Sums run over
blocks of 64 positions in float32, and over blocks in float64.

Functions here pass tuples of arrays, each with one value per channel. The running values of a map are `highest, lowest,
origins, sums, squares`, in float32.
"""

from __future__ import annotations

import numba
import numpy as np

from network_atlas.stats.kernels import Array, compiled

BLOCK = 64


# Contracting to a fused multiply-add rounds once, as torch does when it normalizes.
@numba.njit(nogil=True, fastmath={"contract"})
def _scale(rows: Array, scaled: Array, factors: tuple[Array, Array]) -> None:
    """Write rows * scale + shift, (rows, channels), where the processor can in one step."""
    scale, shift = factors
    for at in range(rows.shape[0]):
        row, into = rows[at], scaled[at]
        for c in range(row.shape[0]):
            into[c] = row[c] * scale[c] + shift[c]


@numba.njit(nogil=True, inline="always")
def _begin(first: Array, running: tuple[Array, ...], places: tuple[Array, Array]) -> None:
    """Start a map's running values at its first position, (channels,)."""
    highest, lowest, origins, _, _ = running
    for c in range(first.shape[0]):
        highest[c] = lowest[c] = first[c]
        places[0][c] = places[1][c] = 0
        # Sums count from here, so that large values with a small spread don't cancel.
        origins[c] = first[c] if np.isfinite(first[c]) else np.float32(0)


@numba.njit(nogil=True, inline="always")
def _four_extremes(rows: Array, at: int, running: tuple[Array, ...], places: tuple[Array, Array]) -> None:
    """Compare four rows, (4, channels), the first of which is position `at`, with the extremes so far.

    Ties go to the first position. Written without branches: the compiler turns each line into one vector instruction.
    """
    highest, lowest = running[0], running[1]
    high_at, low_at = places
    one, two, three, four = rows[0], rows[1], rows[2], rows[3]
    here = np.int32(at)
    for c in range(one.shape[0]):
        a, b, d, e = one[c], two[c], three[c], four[c]
        best, place = highest[c], high_at[c]
        more = a > best
        best, place = (a if more else best), (here if more else place)
        more = b > best
        best, place = (b if more else best), (here + np.int32(1) if more else place)
        more = d > best
        best, place = (d if more else best), (here + np.int32(2) if more else place)
        more = e > best
        highest[c] = e if more else best
        high_at[c] = here + np.int32(3) if more else place
        best, place = lowest[c], low_at[c]
        less = a < best
        best, place = (a if less else best), (here if less else place)
        less = b < best
        best, place = (b if less else best), (here + np.int32(1) if less else place)
        less = d < best
        best, place = (d if less else best), (here + np.int32(2) if less else place)
        less = e < best
        lowest[c] = e if less else best
        low_at[c] = here + np.int32(3) if less else place


@numba.njit(nogil=True, inline="always")
def _four_sums(rows: Array, running: tuple[Array, ...]) -> None:
    """Add four rows, (4, channels), to the sums of distances from the origin and of their squares."""
    _, _, origins, sums, squares = running
    one, two, three, four = rows[0], rows[1], rows[2], rows[3]
    for c in range(one.shape[0]):
        origin = origins[c]
        a, b, d, e = one[c] - origin, two[c] - origin, three[c] - origin, four[c] - origin
        sums[c] += (a + b) + (d + e)
        squares[c] += (a * a + b * b) + (d * d + e * e)


@numba.njit(nogil=True, inline="always")
def _one_row(row: Array, at: int, running: tuple[Array, ...], places: tuple[Array, Array]) -> None:
    """Take in one row, (channels,), at position `at`."""
    highest, lowest, origins, sums, squares = running
    high_at, low_at = places
    for c in range(row.shape[0]):
        a = row[c]
        more, less = a > highest[c], a < lowest[c]
        highest[c], high_at[c] = (a if more else highest[c]), (np.int32(at) if more else high_at[c])
        lowest[c], low_at[c] = (a if less else lowest[c]), (np.int32(at) if less else low_at[c])
        a = a - origins[c]
        sums[c] += a
        squares[c] += a * a


@numba.njit(nogil=True, inline="always")
def _finish(image: int, positions: int, state: tuple[Array, ...], totals: Array, out: tuple[Array, ...]) -> None:
    """Write what one map came to into row `image` of the results."""
    highest, lowest, origins, high_at, low_at = state
    maximum, maximum_at, minimum, minimum_at, mean, within = out
    for c in range(highest.shape[0]):
        total, squares = totals[0, c], totals[1, c]
        broken = np.isnan(total)
        maximum[image, c] = np.float32(np.nan) if broken else highest[c]
        minimum[image, c] = np.float32(np.nan) if broken else lowest[c]
        maximum_at[image, c], minimum_at[image, c] = high_at[c], low_at[c]
        mean[image, c] = np.float32(origins[c] + total / positions)
        spread = squares - total * total / positions
        within[image, c] = 0.0 if spread < 0 else spread  # rounding may bring it below zero; NaN stays


@compiled
def reduce_maps(maps: Array, scaled: Array, factors: tuple[Array, Array], out: tuple[Array, ...]) -> None:
    """Reduce `maps`, float32 (images, positions, channels), into six arrays of shape (images, channels).

    These are the spatial maximum and its position, the spatial minimum and its position, the spatial mean, and the sum
    of squared distances from that mean. On the way `scaled`, of the shape of `maps`, becomes maps * scale + shift, with
    a number of each per channel in `factors`; where it holds no images it is left alone. A map with a NaN in it comes
    to NaN.
    """
    images, positions, channels = maps.shape
    scaling = scaled.shape[0] > 0
    highest, lowest = np.empty(channels, np.float32), np.empty(channels, np.float32)
    origins = np.empty(channels, np.float32)
    sums, squares = np.empty(channels, np.float32), np.empty(channels, np.float32)
    high_at, low_at = np.empty(channels, np.int32), np.empty(channels, np.int32)
    totals = np.empty((2, channels), np.float64)
    running, places = (highest, lowest, origins, sums, squares), (high_at, low_at)
    for image in range(images):
        _begin(maps[image, 0], running, places)
        totals[:] = 0.0
        for start in range(0, positions, BLOCK):
            stop = min(start + BLOCK, positions)
            sums[:] = np.float32(0)
            squares[:] = np.float32(0)
            at = start
            while at + 4 <= stop:  # four rows at a time, for fewer passes over the running values
                if scaling:
                    _scale(maps[image, at : at + 4], scaled[image, at : at + 4], factors)
                rows = maps[image, at : at + 4]
                _four_extremes(rows, at, running, places)
                _four_sums(rows, running)
                at += 4
            while at < stop:
                if scaling:
                    _scale(maps[image, at : at + 1], scaled[image, at : at + 1], factors)
                _one_row(maps[image, at], at, running, places)
                at += 1
            for c in range(channels):
                totals[0, c] += sums[c]
                totals[1, c] += squares[c]
        _finish(image, positions, (highest, lowest, origins, high_at, low_at), totals, out)
