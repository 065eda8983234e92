"""Compare a layer's channels by what they do on the images that both snapshots sampled. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from network_atlas.errors import counted
from network_atlas.rerun.alignment import FEWEST_IMAGES, correlations, linear_cka
from network_atlas.rerun.matching import Matching, chance_correlation, identity_of, match
from network_atlas.stats.sample import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Activations:
    """What the samples say about a layer; without a matching, `note` says why."""

    images: int
    """Images in both samples."""
    alignment: float | None = None
    matching: Matching | None = None
    identity: str = "unknown"
    note: str = ""


def compare_activations(old: Sample | None, new: Sample | None) -> Activations:
    """Compare the spatial means of all channels on the images that are in both samples."""
    if old is None or new is None:
        return Activations(images=0, note="one snapshot has no sample of activations: it was made without a dataset")
    sides = _shared(old, new)
    images = len(sides[0])
    if images < FEWEST_IMAGES:
        return Activations(
            images=images,
            note=f"the samples of activations share {counted(images, 'image')}; {FEWEST_IMAGES} are needed to compare",
        )
    between = correlations(*sides)
    matching = match(between, chance=chance_correlation(*sides))
    return Activations(images=images, alignment=linear_cka(*sides), matching=matching, identity=identity_of(matching))


def _shared(old: Sample, new: Sample) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the spatial means of both sides on the same images, (images, channels), leaving out what is not finite."""
    _, rows_old, rows_new = np.intersect1d(
        np.array(old.ids, dtype=np.str_), np.array(new.ids, dtype=np.str_), return_indices=True
    )
    sides = old.spatial_mean[rows_old], new.spatial_mean[rows_new]
    finite = np.isfinite(sides[0]).all(axis=1) & np.isfinite(sides[1]).all(axis=1)
    return sides[0][finite], sides[1][finite]
