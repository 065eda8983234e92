"""How many images the device's memory has room for at once, found out by trying.

room = FittingBatch(64)
room.fit(lambda count: scan(images[:count]))      # 64, then 32, ... until it fits; remembered
room.over(lambda part: score(images[part]), 100)  # all of them, in pieces that fit
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
    """FittingBatch for some images at once: `at_once` at first, and half of that each time they did not fit."""

    def __init__(self, at_once: int) -> None:
        self.at_once = at_once

    def fit(self, work: Callable[[int], _T], count: int | None = None) -> _T:
        """Return what `work` returns for as many images as fit, of `count` where there are no more.

        `work` is called anew with fewer, so it must leave nothing behind when memory runs out. Raises
        torch.OutOfMemoryError when not even one fits.
        """
        while True:
            size = self.at_once if count is None else min(self.at_once, count)
            try:
                return work(size)
            except torch.OutOfMemoryError as error:
                if size == 1:
                    raise
                log.warning("no room for %d images at once; going on with %d (%s)", size, size // 2, error)
            # Outside the except block, so that the traceback no longer holds the tensors.
            torch.cuda.empty_cache()
            self.at_once = size // 2

    def over(self, work: Callable[[slice], Sequence[_T]], count: int) -> list[_T]:
        """Return what `work` makes of `count` images, one result for each, taken in pieces that fit."""
        found: list[_T] = []
        while len(found) < count:
            found += self.fit(partial(_piece, work, len(found)), count - len(found))
        return found


def _piece(work: Callable[[slice], Sequence[_T]], start: int, size: int) -> Sequence[_T]:
    return work(slice(start, start + size))
