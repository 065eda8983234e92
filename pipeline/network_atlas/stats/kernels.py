"""The inner loops of the running statistics, compiled by Numba.

Each takes the values of some examples, (examples, channels), into the arrays of a statistic, which change in place.
The statistics call them in their `update`; nothing else does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from network_atlas.compiling import compiled, inlined

Array = NDArray[Any]
Best = tuple[Array, Array, Array]
"""Values, numbers and positions of lists of the best, best first: (channels, k). Empty entries have the number -1."""
Chosen = tuple[Array, Array]
"""Values, each times the sign of its list, and which examples they are of: (examples,)."""
STRIP = 64
"""Channels that are looked at together: their values on 64 examples are in the first cache."""


@compiled
def add_moments(
    values: Array, sums: tuple[Array, Array, Array, Array], extremes: tuple[Array, Array], active: Array
) -> None:
    """Take `values`, (examples, channels), into the moments of earlier values, one example after the other.

    `sums` are count (float64 too), mean, m2 and m3, `extremes` are minimum and maximum, all of them (channels,). Values
    that are not numbers are left out.
    """
    count, mean, m2, m3 = sums
    minimum, maximum = extremes
    for example in range(values.shape[0]):
        row = values[example]
        for c in range(row.shape[0]):
            value = float(row[c])
            # Selections instead of a branch, so that the loop vectorizes: with a delta of zero, sums stay as they are.
            is_number = value == value
            before, after = count[c], count[c] + 1.0
            delta = value - mean[c] if is_number else 0.0
            step = delta / after
            term = delta * step * before
            # The third moment needs the second one as it was before this value, so the order of the lines matters.
            m3[c] += term * step * (after - 2.0) - 3.0 * step * m2[c]
            m2[c] += term
            mean[c] += step
            count[c] = after if is_number else before
            minimum[c] = value if value < minimum[c] else minimum[c]
            maximum[c] = value if value > maximum[c] else maximum[c]
            active[c] += np.int64(value > 0)


@compiled
def add_best(values: Array, at: Array, numbers: Array, sign: int, best: Best) -> None:
    """Put `values`, (examples, channels), of examples with `numbers`, (examples,), into lists of the best.

    Numbers rise, from call to call too, so of equal examples the earlier one stays.

    Most examples are compared with the last entry alone. A list changes once, for all examples that enter it: long
    lists lie outside the cache, and one by one each example would move half of its list.
    """
    best_values, best_numbers, _ = best
    examples, channels = values.shape
    k = best_values.shape[1]
    if k == 0:
        return
    factor = np.float32(sign)  # not an integer: that times float32 is float64
    worst, is_open = np.empty(STRIP, np.float32), np.empty(STRIP, np.bool_)
    counts, entering = np.empty(STRIP, np.int64), np.empty((STRIP, examples), np.int32)
    chosen = (np.empty(examples, np.float32), np.empty(examples, np.int32))
    for start in range(0, channels, STRIP):
        width = min(STRIP, channels - start)
        for c in range(width):
            worst[c], is_open[c] = factor * best_values[start + c, k - 1], best_numbers[start + c, k - 1] < 0
        counts[:] = 0
        for example in range(examples):
            row = values[example, start : start + width]
            for c in range(width):
                value = factor * row[c]
                # `value == value` is false for NaN, which never enters a list.
                if value > worst[c] or (is_open[c] and value == value):
                    entering[c, counts[c]] = example
                    counts[c] += 1
        for c in range(width):
            if counts[c]:
                count = _sort(values, start + c, factor, entering[c, : counts[c]], k, chosen)
                _merge(start + c, factor, chosen, count, numbers, at, best)


@inlined
def _sort(values: Array, channel: int, factor: np.float32, entering: Array, k: int, into: Chosen) -> int:
    """Put the best `k` of some examples in order, and return how many there are; of equal ones the first is better."""
    sorted_values, sorted_examples = into
    count = 0
    for example in entering:
        value = factor * values[example, channel]
        if count < k:
            count += 1
        elif not value > sorted_values[k - 1]:
            continue
        rank = count - 1
        while rank > 0 and value > sorted_values[rank - 1]:
            sorted_values[rank], sorted_examples[rank] = sorted_values[rank - 1], sorted_examples[rank - 1]
            rank -= 1
        sorted_values[rank], sorted_examples[rank] = value, example
    return count


@inlined
def _merge(channel: int, factor: np.float32, chosen: Chosen, count: int, numbers: Array, at: Array, best: Best) -> None:
    """Merge the first `count` of sorted examples into a channel's list, from the end of both."""
    best_values, best_numbers, best_at = best
    sorted_values, sorted_examples = chosen
    k = best_values.shape[1]
    last, new = k - 1, count - 1
    while last >= 0 and best_numbers[channel, last] < 0:
        last -= 1
    while last + new + 2 > k:  # the worst are left out; of equal ones, those that come now
        if last >= 0 and sorted_values[new] > factor * best_values[channel, last]:
            last -= 1
        else:
            new -= 1
    while new >= 0:
        rank = last + new + 1
        if last >= 0 and sorted_values[new] > factor * best_values[channel, last]:
            best_values[channel, rank] = best_values[channel, last]
            best_numbers[channel, rank], best_at[channel, rank] = best_numbers[channel, last], best_at[channel, last]
            last -= 1
        else:
            example = sorted_examples[new]
            best_values[channel, rank] = factor * sorted_values[new]  # the sign twice: the value as it was
            best_numbers[channel, rank], best_at[channel, rank] = numbers[example], at[example, channel]
            new -= 1


@compiled
def add_class_best(values: Array, at: Array, numbers: Array, classes: Array, best: Best, best_classes: Array) -> None:
    """Put examples of `classes`, (examples,), into lists of the best example of each class; see `add_best`.

    `best_classes` is (channels, k). Examples of class -1, which have no known label, are left out.
    """
    best_values, best_numbers, best_at = best
    examples, channels = values.shape
    k = best_values.shape[1]
    if k == 0:
        return
    for c in range(channels):
        for example in range(examples):
            value, label = values[example, c], classes[example]
            if label < 0 or not (value > best_values[c, k - 1] or (best_numbers[c, k - 1] < 0 and value == value)):
                continue
            rank = k - 1  # the entry that is replaced: that of the class, or the last
            for other in range(k):
                if best_numbers[c, other] >= 0 and best_classes[c, other] == label:
                    rank = other
                    break
            if best_numbers[c, rank] >= 0 and not value > best_values[c, rank]:
                continue
            while rank > 0 and (best_numbers[c, rank - 1] < 0 or value > best_values[c, rank - 1]):
                best_values[c, rank], best_numbers[c, rank] = best_values[c, rank - 1], best_numbers[c, rank - 1]
                best_at[c, rank], best_classes[c, rank] = best_at[c, rank - 1], best_classes[c, rank - 1]
                rank -= 1
            best_values[c, rank], best_numbers[c, rank] = value, numbers[example]
            best_at[c, rank], best_classes[c, rank] = at[example, c], label


@compiled
def add_histogram(bits: Array, counts: Array, first: int, shift: int, side: int) -> None:
    """Count float32 values, (examples, channels), in `counts`, (channels, buckets).

    `bits` are the values read as uint32: the exponent and the first bits of the mantissa are the bucket's number, so no
    logarithm is computed. Buckets are those of `network_atlas.stats.histogram`. Values that are not numbers are left
    out.
    """
    examples, channels = bits.shape
    for c in range(channels):
        for example in range(examples):
            value = bits[example, c]
            if (value & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000):  # not a number
                continue
            size = int((value & np.uint32(0x7FFFFFFF)) >> np.uint32(shift)) - first + 1
            size = min(max(size, 0), side)
            counts[c, side - size if value >> np.uint32(31) else side + size] += 1
