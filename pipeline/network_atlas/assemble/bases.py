"""Directions of a layer as units with names and clarity, and how the layer's bases compare: rows for the tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from network_atlas.assemble.clearness import LayerClarity, layer_clarity
from network_atlas.assemble.describing import NOT_DESCRIBED, descriptions
from network_atlas.assemble.examples import Row
from network_atlas.assemble.naming import Naming
from network_atlas.dataset.embeddings import Embeddings
from network_atlas.layers import LayerSpec
from network_atlas.stats.clarity import Space
from network_atlas.stats.merge import LayerScan
from network_atlas.stats.monosemantic import PairSums, random_rotation, scaled
from network_atlas.stats.sample import DECIMALS
from network_atlas.units import Direction

QUARTERS = (0.25, 0.5, 0.75)
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bases:
    """The sample of a layer, read in other bases than its channels."""

    layer: LayerSpec
    scan: LayerScan
    naming: Naming
    space_layer: LayerSpec
    space: Space
    embeddings: Embeddings | None
    image: Callable[[str], str]
    """From an example_id to the image that it is a view of."""

    def monosemanticity(self, basis: Floats | None = None) -> Floats:
        """Return the score of each channel, or of each direction in `basis`, (directions, channels)."""
        ids = self.scan.sample.ids
        seen: dict[str, int] = {}
        for row, example_id in enumerate(ids):
            if example_id in self.space.rows:  # of an image the first view counts: its views are alike anyway
                seen.setdefault(self.image(example_id), row)
        rows = list(seen.values())
        vectors = self.space.vectors[[self.space.rows[ids[row]] for row in rows]]
        values = scaled(self._values(basis)[rows]) if rows else np.empty((0, len(self._values(basis).T)))
        return PairSums.of(values, vectors).scores

    def clarity(self) -> LayerClarity | None:
        """Return the clarity of the layer's channels; None where the sample has too few images."""
        sample = self.scan.sample
        return layer_clarity(sample.spatial_maximum, sample.ids, self.space_layer, self.space, self.image)

    def descriptions(self, values: NDArray[np.float32] | None = None) -> list[Row]:
        """Return the columns of the user's concepts for each channel, or for units with other values."""
        sample = self.scan.sample
        values = sample.spatial_maximum if values is None else values
        if self.embeddings is None:
            return [NOT_DESCRIBED] * values.shape[1]
        return descriptions(values, sample.ids, self.embeddings, self.image)

    def _values(self, basis: Floats | None) -> Floats:
        means = self.scan.sample.spatial_mean.astype(np.float64)
        return means if basis is None else means @ basis.T

    def of_directions(self, units: Sequence[Direction], stability: Mapping[str, float]) -> dict[str, Row]:
        """Return the columns of directions by the unit's label; `stability` is by the direction's name."""
        if not units:
            return {}
        basis = np.array([unit.vector for unit in units], np.float64)
        values = self._values(basis).astype(np.float32)
        names = self.naming.of_values(self.scan, values)
        clear = layer_clarity(values, self.scan.sample.ids, self.space_layer, self.space, self.image)
        scores, described = self.monosemanticity(basis), self.descriptions(values)
        return {
            unit.label: {
                **names.columns(number),
                **described[number],
                **(clear.columns(number) if clear else {}),
                "monosemanticity": rounded(scores[number]),
                "stability": stability.get(unit.name),
            }
            for number, unit in enumerate(units)
        }

    def rows(self, found: Floats) -> list[Row]:
        """Return one row per basis: channels, the directions that were found (none if empty), random rotations."""
        bases = {"channels": self.monosemanticity()}
        if len(found):
            bases["directions"] = self.monosemanticity(found)
        bases["random"] = self.monosemanticity(random_rotation(self.layer.channels, self.layer.channels))
        return [row for name, scores in bases.items() if (row := self._row(name, scores[np.isfinite(scores)]))]

    def _row(self, basis: str, scores: Floats) -> Row | None:
        if not len(scores):
            return None
        lower, median, upper = np.quantile(scores, QUARTERS)
        return {
            "layer_index": self.layer.index,
            "layer": self.layer.name,
            "basis": basis,
            "units": len(scores),
            "mean": rounded(scores.mean()),
            "lower_quartile": rounded(lower),
            "median": rounded(median),
            "upper_quartile": rounded(upper),
        }


def rounded(value: float) -> float | None:
    """Return a number without the digits that differ between kinds of processors; None for NaN."""
    return round(float(value), DECIMALS) if np.isfinite(value) else None
