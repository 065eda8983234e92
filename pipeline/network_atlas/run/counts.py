"""Count the result of a run in the store: what exists, whichever run made it, and what could not be made."""

from __future__ import annotations

from network_atlas.plan.calibration import calibration_keys
from network_atlas.run.prepare import Prepared
from network_atlas.run.result import Result
from network_atlas.store.failures import QUARANTINED, quarantined
from network_atlas.store.manifest import Manifest
from network_atlas.store.receipts import files_under
from network_atlas.store.results import Done


def result_of(prepared: Prepared, done: Done, manifest: Manifest | None) -> Result:
    """Return the results that the run's share of the plan has now, whichever run made them."""
    plan, store = prepared.plan, prepared.store
    unmade, unmeasured = (quarantined(store, stage) for stage in QUARANTINED)
    keys = {key: measured for layer in plan.layers for key, measured in calibration_keys(plan, layer).items()}
    share_keys = plan.share_pictures

    def is_left_out(key: str) -> bool:
        if key not in done.optimize:
            return key in unmade
        return keys[key] in unmeasured and keys[key] not in done.calibrate

    left_out = {key for key in share_keys if is_left_out(key)}
    return Result(
        manifest=manifest,
        layers=len(plan.layers),
        pictures=sum(key in done.optimize for key in share_keys),
        unreadable=unreadable(prepared, done),
        quarantined=len(left_out),
        waiting=sum(keys[key] not in done.calibrate for key in share_keys - left_out),
        examples=prepared.examples,
    )


def unreadable(prepared: Prepared, done: Done) -> int:
    """Return how many of the plan's images could not be read."""
    receipts = {done.scan[key].task: done.scan[key] for key in prepared.plan.scan_keys if key in done.scan}
    # Two tasks of one span, for different layers, count the same images; their failures are one file.
    per_span = {
        files_under([receipt], "failures"): receipt.unreadable for receipt in receipts.values() if receipt.unreadable
    }
    return sum(per_span.values())
