"""The classes that the network sees most in the images of a map's cell.

found = CellClasses(logits, images).of(examples)
found.classes    # ((281, 2.9), (282, 2.4), ...): the five classes with the largest values, whether or not above chance
found.chance     # 1.8: what the largest value of as many images by chance stays below in 99 of 100 cases

A logit counts in standard deviations above its mean over all images of the map. A class's value for a cell is the mean
of that over the cell's images. Many classes are looked at, and cells have few images: so a value says something
only where it is above what the best of all classes reaches by chance (permuted images, as for names of channels).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from network_atlas.stats.chance import EXCEEDED, PERMUTATIONS
from network_atlas.stats.constant import standardized

CLASSES = 5
"""Classes that are kept of each cell, at most."""
Logits = Float64[NDArray[np.float64], "images classes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Classes:
    """The classes of one cell."""

    classes: tuple[tuple[int, float], ...]
    """The largest first, each with its value in standard deviations."""
    chance: float | None
    """99th percentile of the largest value of as many images by chance; None without logits, or where none varies."""


class CellClasses:
    """Says of the cells of one map which classes stand out in their images."""

    def __init__(self, logits: Mapping[str, NDArray[np.floating]], images: Mapping[str, str]) -> None:
        """Take the logits of examples by id, all of one size, and the image that each of the map's examples is of.

        Views of one image count as one: their logits are averaged. Examples without finite logits are left out.
        """
        views: dict[str, list[NDArray[np.floating]]] = {}
        for example, image in images.items():
            if example in logits and np.isfinite(logits[example]).all():
                views.setdefault(image, []).append(logits[example])
        self._images = dict(images)
        self._numbers = {image: number for number, image in enumerate(sorted(views))}
        rows = [np.mean(views[image], axis=0, dtype=np.float64) for image in self._numbers]
        # With a standard deviation of 1, where `standardized` has a length of 1; NaN for classes that do not vary.
        self._values: Logits = standardized(np.stack(rows)) * len(rows) ** 0.5 if rows else np.empty((0, 0))
        self._chance: NDArray[np.float64] = np.empty(0)

    def of(self, examples: Collection[str]) -> Classes:
        """Return the classes of the cell that holds these examples of the map."""
        images = {self._images[example] for example in examples}
        numbers = sorted(self._numbers[image] for image in images if image in self._numbers)
        # A cell of all images is the mean of the map, from which all values are measured: only rounding would be left.
        if not numbers or not self._values.shape[1] or len(numbers) == len(self._values):
            return Classes(classes=(), chance=None)
        values = np.nan_to_num(self._values[numbers].mean(axis=0), nan=-np.inf)
        chance = self._by_chance(len(numbers))
        best = np.argsort(-values, kind="stable")[:CLASSES]  # of equal ones, by class
        found = tuple((int(number), float(values[number])) for number in best if np.isfinite(values[number]))
        return Classes(classes=found, chance=chance if found else None)

    def _by_chance(self, count: int) -> float:
        """Return what the largest value of `count` images by chance stays below in 99 of 100 cases."""
        if len(self._chance) < count:
            # One set of permutations serves all sizes; twice as many as asked for, as larger cells come later.
            self._chance = levels_by_chance(self._values, min(2 * count, len(self._values)))
        return float(self._chance[count - 1])


def levels_by_chance(values: Logits, most: int) -> Float64[NDArray[np.float64], " sizes"]:
    """Return the 99th percentile of the largest mean over 1, 2 ... `most` images by chance, of any class."""
    values = np.nan_to_num(values, nan=-np.inf)
    sizes = np.arange(1, most + 1)[:, None]
    # RandomState: its streams never change, and every layer and machine gets the same permutations.
    random = np.random.RandomState(0)
    largest = [
        (np.cumsum(values[random.permutation(len(values))[:most]], axis=0) / sizes).max(axis=1)
        for _ in range(PERMUTATIONS)
    ]
    levels: Float64[NDArray[np.float64], " sizes"] = np.sort(largest, axis=0)[-EXCEEDED]
    return levels
