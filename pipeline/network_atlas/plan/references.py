"""Say for which pictures real images must be scored, since the scan does not measure their units. Pure."""

from __future__ import annotations

from network_atlas.plan.pictures import Picture

REFERENCE_EXAMPLES = 256
"""Sampled examples that are scored by units which the scan does not measure: a percentile to half a percent."""
MEASURED_BY_SCAN = ("channel", "neuron", "logit", "probability")
"""Objectives that the scan's sample suffices for. All others, those added later too, are scored on examples."""


def is_measured_by_scan(picture: Picture) -> bool:
    """Say whether the scan holds the values of a picture's unit on the sampled examples."""
    return picture.channel is not None and picture.objective in MEASURED_BY_SCAN
