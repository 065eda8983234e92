"""What the scan's sample says of how much images excite a picture's unit, and of which units it says nothing. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from network_atlas.plan.pictures import Picture
from network_atlas.stats.sample import are_comparable
from network_atlas.units import Neuron

if TYPE_CHECKING:
    from network_atlas.stats.merge import LayerScan

REFERENCE_EXAMPLES = 256
"""Sampled examples that are scored by units which the scan does not measure: a percentile to half a percent."""
MEASURED_BY_SCAN = ("channel", "neuron", "logit", "probability")
"""Objectives that the scan's sample suffices for. All others, those added later too, are scored on examples."""


def is_measured_by_scan(picture: Picture) -> bool:
    """Say whether the scan holds the values of a picture's unit on the sampled examples."""
    return picture.channel is not None and picture.objective in MEASURED_BY_SCAN


def sampled_by_scan(picture: Picture, scan: LayerScan | None) -> NDArray[np.float32] | None:
    """Return what sampled examples score at a picture's objective, (examples,); None where the scan does not say.

    The same is compared with the same. A channel's score is a spatial mean and is compared with spatial means; a
    neuron's with the values at its position, which the scan keeps for the centre alone. Probabilities follow from the
    sampled logits. None also for values that differ by rounding alone, where the last bit would decide.
    """
    if scan is None or picture.channel is None:
        return None
    of_channel = scan[picture.channel]
    size = of_channel.size
    if isinstance(picture.unit, Neuron):
        sampled = of_channel.sample_centre if (picture.unit.row, picture.unit.column) == of_channel.centre else None
    elif picture.objective == "probability":
        sampled, size = softmax(scan.sample.spatial_mean)[:, picture.channel], 0.0
    else:
        sampled = of_channel.sample_spatial_mean if picture.objective in ("channel", "logit") else None
    return sampled if sampled is not None and are_comparable(sampled, size=size) else None


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probabilities of logits, (examples, classes)."""
    # The largest is subtracted first, or exp would overflow.
    raised = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True, initial=-np.inf))
    probabilities: NDArray[np.float32] = (raised / raised.sum(axis=1, keepdims=True)).astype(np.float32)
    return probabilities
