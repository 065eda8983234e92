"""Run on as many images at once as the device's memory can hold, a number that is learned by trying.

batch = FittingBatch(64)
batch.fit(lambda count: scan(images[:count]))      # 64, then 32, ... until it fits; remembered
batch.over(lambda part: score(images[part]), 100)  # all of them, in pieces that fit
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import torch

log = logging.getLogger(__name__)
_T = TypeVar("_T")


class FittingBatch:
    """The number of images that fit at once: `at_once` at first, and half of it each time they do not fit."""

    def __init__(self, at_once: int) -> None:
        self.at_once = at_once

    def fit(self, work: Callable[[int], _T], count: int | None = None) -> _T:
        """Return the result of `work` for as many images as fit, and for at most `count` of them.

        `work` is called again with fewer images, so it must leave nothing behind when memory runs out. Raises
        torch.OutOfMemoryError when not even a single image fits.
        """
        while True:
            size = self.at_once if count is None else min(self.at_once, count)
            try:
                return work(size)
            except torch.OutOfMemoryError as error:
                if size == 1:
                    raise
                log.warning("not enough memory for %d images at once; continuing with %d (%s)", size, size // 2, error)
            # Outside the except block, so that the traceback no longer holds the tensors.
            torch.cuda.empty_cache()
            self.at_once = size // 2

    def over(self, work: Callable[[slice], Sequence[_T]], count: int) -> list[_T]:
        """Return the results of `work` for `count` images, one for each, run in pieces that fit."""
        results: list[_T] = []
        while len(results) < count:
            results += self.fit(partial(_piece, work, len(results)), count - len(results))
        return results


def _piece(work: Callable[[slice], Sequence[_T]], start: int, size: int) -> Sequence[_T]:
    return work(slice(start, start + size))
