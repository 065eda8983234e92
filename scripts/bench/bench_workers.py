"""Learn pictures in several processes of one thread each, as a run's workers do on a processor. Used by `peers`."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from bench_common import Seconds, timed
from bench_pictures import Studio

from network_atlas.config.compose import compose
from network_atlas.config.recipe import OptimizeConfig
from network_atlas.pictures.stored import Pixels

_OPENED: list[Studio] = []
"""The studio of this process, if it is a worker."""


class Workers:
    """`count` processes, each with the network loaded and one thread."""

    def __init__(self, overrides: Sequence[str], count: int) -> None:
        start_afresh = multiprocessing.get_context("spawn")  # torch's threads don't survive a fork
        self._processes = [
            ProcessPoolExecutor(1, mp_context=start_afresh, initializer=_open, initargs=(tuple(overrides),))
            for _ in range(count)
        ]
        self._recipe = compose(list(overrides)).optimize

    @property
    def recipe(self) -> OptimizeConfig:
        """Return the recipe of the overrides."""
        return self._recipe

    def pixels(self, layer: str, channels: Sequence[int], config: OptimizeConfig) -> tuple[Pixels, Seconds]:
        """Return the learned pictures of some channels, shared out among the workers, and what all of them took.

        By the clock that is from the first call to the last result.
        """
        share = -(-len(channels) // len(self._processes))
        parts = [channels[start : start + share] for start in range(0, len(channels), share)]
        began = time.perf_counter()
        futures = [
            process.submit(_learned, layer, part, config)
            for process, part in zip(self._processes, parts, strict=False)  # few channels leave workers idle
        ]
        results = [future.result() for future in futures]
        seconds = Seconds(time.perf_counter() - began, sum(cpu for _, cpu in results))
        return np.concatenate([pixels for pixels, _ in results]), seconds

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.shutdown()


def _open(overrides: tuple[str, ...]) -> None:
    _OPENED.append(Studio.opened(overrides, threads=1))


def _learned(layer: str, channels: Sequence[int], config: OptimizeConfig) -> tuple[Pixels, float]:
    with timed() as seconds:
        pixels = _OPENED[0].pixels(layer, channels, config)
    return pixels, seconds.cpu
