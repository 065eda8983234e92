"""The result of a run, in numbers."""

from __future__ import annotations

from dataclasses import dataclass

from network_atlas.dataset.base import Example
from network_atlas.store.manifest import Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The result of a run, in numbers."""

    manifest: Manifest | None
    """None for a share of a sweep (`sweep.share`), which publishes nothing."""
    layers: int
    pictures: int
    unreadable: int
    quarantined: int
    """Pictures of the sweep that are left out, since they could not be made or measured, now or earlier."""
    waiting: int = 0
    """Pictures of a share that can only be made or measured when other shares have scanned their spans."""
    examples: tuple[Example, ...] = ()
    """The dataset as it was listed when the run began."""
