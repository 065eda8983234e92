"""What a run left behind, counted from the store: what was made, by whomever, and what could not be."""

from __future__ import annotations

from dataclasses import dataclass

from network_atlas.plan.calibration import calibration_keys
from network_atlas.run.prepare import Prepared
from network_atlas.store.failures import QUARANTINED, quarantined
from network_atlas.store.manifest import Manifest
from network_atlas.store.receipts import files_under
from network_atlas.store.results import Done


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a run left behind."""

    manifest: Manifest | None
    """None for a share of a sweep (`sweep.share`), which publishes nothing."""
    layers: int
    pictures: int
    unreadable: int
    quarantined: int
    """Pictures of the sweep that could not be made or measured, now or earlier, and are left out."""
    waiting: int = 0
    """Pictures of a share that can't be made or measured before other shares have scanned."""


def result_of(prepared: Prepared, done: Done, manifest: Manifest | None) -> Result:
    """Return what there is now of the run's share of the plan, whoever made it."""
    plan, store = prepared.plan, prepared.store
    unmade, unmeasured = (quarantined(store, stage) for stage in QUARANTINED)
    keys = {key: measured for layer in plan.layers for key, measured in calibration_keys(plan, layer).items()}
    own = plan.own_pictures

    def is_left_out(key: str) -> bool:
        if key not in done.optimize:
            return key in unmade
        return keys[key] in unmeasured and keys[key] not in done.calibrate

    left_out = {key for key in own if is_left_out(key)}
    return Result(
        manifest=manifest,
        layers=len(plan.layers),
        pictures=sum(key in done.optimize for key in own),
        unreadable=unreadable(prepared, done),
        quarantined=len(left_out),
        waiting=sum(keys[key] not in done.calibrate for key in own - left_out),
    )


def unreadable(prepared: Prepared, done: Done) -> int:
    """Return how many of the plan's images could not be read."""
    receipts = {done.scan[key].task: done.scan[key] for key in prepared.plan.scan_keys if key in done.scan}
    # Two tasks of one span, for other layers, count the same images.
    per_span = {files_under([one], "failures"): one.unreadable for one in receipts.values() if one.unreadable}
    return sum(per_span.values())
