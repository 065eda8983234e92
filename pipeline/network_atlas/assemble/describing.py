"""Describe units by the user's own concept vectors: columns for the tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from network_atlas.assemble.examples import Row
from network_atlas.dataset.embeddings import Embeddings
from network_atlas.stats.chance import chance_level_of_vectors
from network_atlas.stats.constant import standardized
from network_atlas.stats.sample import DECIMALS
from network_atlas.store.name_columns import DESCRIPTIONS

LISTED = 5
"""Concepts that a unit's record lists."""
LEAST_IMAGES = 20
"""Fewer images with a vector say nothing."""
NOT_DESCRIBED: Row = dict.fromkeys(field.name for field in DESCRIPTIONS) | {"descriptions": []}
"""The columns of a unit without a description."""


def descriptions(
    values: NDArray[np.float32], ids: Sequence[str], embeddings: Embeddings, image: Callable[[str], str]
) -> list[Row]:
    """Return the columns of each unit, those of `name_columns.DESCRIPTIONS`; none where few images have a vector.

    `values` are those of the sampled examples `ids`, (examples, units); `image` leads from an example_id to its image.
    """
    rows = [row for row, example_id in enumerate(ids) if image(example_id) in embeddings.rows]
    images = [image(ids[row]) for row in rows]
    names, image_of = np.unique(np.array(images, dtype=str), return_inverse=True)
    if len(names) < LEAST_IMAGES:
        return [NOT_DESCRIBED] * values.shape[1]
    likeness = embeddings.likeness(names.tolist())
    scores = np.round(standardized(likeness[image_of]).T @ standardized(values[rows]), DECIMALS)
    level = np.round(chance_level_of_vectors(values[rows], image_of, likeness), DECIMALS)
    return [_row(embeddings.concepts, of_unit, of_chance) for of_unit, of_chance in zip(scores.T, level, strict=True)]


def _row(concepts: Sequence[str], scores: NDArray[np.float64], level: float) -> Row:
    known = np.flatnonzero(np.isfinite(scores))
    if not len(known):
        return NOT_DESCRIBED
    order = known[np.argsort(-scores[known], kind="stable")][:LISTED].tolist()
    best = float(scores[order[0]])
    return {
        "description": concepts[order[0]] if best > level else None,
        "description_score": best,
        "description_by_chance": float(level),
        "descriptions": [{"name": concepts[number], "score": float(scores[number])} for number in order],
    }
