"""How clear the best images of a layer's channels are: columns for the tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from network_atlas.assemble.examples import Row
from network_atlas.layers import LayerSpec
from network_atlas.stats.clarity import Clarity, Space, clarity
from network_atlas.stats.sample import DECIMALS
from network_atlas.store.name_columns import CLARITY

NOT_CLEAR: Row = dict.fromkeys(field.name for field in CLARITY)
"""The columns of a channel whose clarity is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerClarity:
    """The clarity of one layer's channels."""

    layer: str
    """The layer in whose space it is measured."""
    measured: Clarity

    def columns(self, channel: int) -> Row:
        """Return the columns of a channel, those of `name_columns.CLARITY`."""
        measured = self.measured
        groups = zip(measured.sizes[channel].tolist(), measured.groups[channel].tolist(), strict=True)
        return {
            "clarity_layer": self.layer,
            "clarity": _rounded(float(measured.together[channel])),
            "clarity_by_chance": _rounded(measured.chance),
            "clarity_groups": [{"images": images, "clarity": _rounded(clear)} for images, clear in groups],
            "two_groups": bool(measured.apart[channel]),
        }


def _rounded(value: float) -> float | None:
    return round(value, DECIMALS) if np.isfinite(value) else None


def layer_clarity(
    values: NDArray[np.float32], ids: Sequence[str], layer: LayerSpec, space: Space, image: Callable[[str], str]
) -> LayerClarity | None:
    """Return the clarity of units in the space of `layer`; None where the sample has too few images.

    `values` are those of the sampled examples `ids`, (examples, units); `image` leads from an example_id to the image
    that it is a view of.
    """
    measured = clarity(values, ids, [image(name) for name in ids], space)
    return None if measured is None else LayerClarity(layer=layer.name, measured=measured)
