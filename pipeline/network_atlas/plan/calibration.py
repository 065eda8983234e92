"""Which pictures must be measured against the network and the dataset, and what names the result. Pure."""

from __future__ import annotations

from collections.abc import Collection

from network_atlas.fingerprints import fingerprint
from network_atlas.layers import LayerSpec
from network_atlas.plan.contents import LayerPlan
from network_atlas.plan.plan import Plan
from network_atlas.plan.sweep import spread
from network_atlas.plan.tasks import NOT_YET_WRITTEN, CalibrateTask, InputFiles

CALIBRATION_ALGORITHM = 2
"""Raise when the same picture gets other numbers."""
PATH_LAYERS = 4
"""Layers before a unit's own in which its picture and its best examples are compared."""
RANDOM_EXAMPLES = 16
"""Examples that say how alike any two images are."""


def calibration_keys(plan: Plan, layer: LayerPlan) -> dict[str, str]:
    """Return the keys of measurements by their pictures': they name the picture, the scan, and the way to the layer."""
    path = [one.name for one in path_to(plan, layer.layer)]
    shared = fingerprint("calibration", CALIBRATION_ALGORITHM, layer.scan_keys, path, plan.random_ids)
    return {picture.key: fingerprint(shared, picture.key) for picture in layer.pictures}


def calibrate_tasks(
    plan: Plan, made: Collection[str], done: Collection[str], inputs: InputFiles = NOT_YET_WRITTEN
) -> list[CalibrateTask]:
    """Return the measurements that are missing of pictures that are `made`, in blocks.

    A layer is left out where `inputs` lacks a part of its scan, or the images' own statistics: a measurement without
    them would have gaps for ever, since its key says what is measured, not what was there at the time.
    """
    statistics = inputs.of_images() if plan.statistics_key else ""
    tasks = []
    for layer in plan.layers:
        keys_of = calibration_keys(plan, layer)
        missing = [picture for picture in layer.pictures if picture.key in made and keys_of[picture.key] not in done]
        # Asked for only where something is missing: a layer's scan may be thousands of receipts.
        scan = inputs.of_scan(layer.layer) if missing else None
        if scan is None or statistics is None:
            continue
        path = path_to(plan, layer.layer)
        for start in range(0, len(missing), plan.block):
            pictures = tuple(missing[start : start + plan.block])
            names = sorted({name for picture in pictures for name in picture.layers} - {layer.layer.name})
            tasks.append(
                CalibrateTask(
                    layer=layer.layer,
                    pictures=pictures,
                    keys=tuple(keys_of[picture.key] for picture in pictures),
                    path=path,
                    others=tuple(plan.known[name] for name in names),
                    random_ids=plan.random_ids,
                    picture_files=inputs.of_pictures(pictures),
                    scan_files=scan,
                    statistics_file=statistics,
                )
            )
    return tasks


def path_to(plan: Plan, layer: LayerSpec) -> tuple[LayerSpec, ...]:
    """Return layers on the way to `layer`, evenly spaced over all that ran before it."""
    before = sorted((one for one in plan.known.values() if one.index < layer.index), key=lambda one: one.index)
    return tuple(spread(before, PATH_LAYERS + 1)[1:]) if len(before) > PATH_LAYERS else tuple(before)
