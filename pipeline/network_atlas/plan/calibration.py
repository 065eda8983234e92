"""Find the finished pictures that are not yet measured, and the keys of their measurements. Pure."""

from __future__ import annotations

from collections.abc import Collection

from network_atlas.fingerprints import fingerprint
from network_atlas.layers import LayerSpec
from network_atlas.plan.contents import LayerPlan
from network_atlas.plan.earlier import earlier_layers
from network_atlas.plan.input_files import NOT_YET_WRITTEN, InputFiles
from network_atlas.plan.plan import Plan, cells_file
from network_atlas.plan.tasks import CalibrateTask

CALIBRATION_ALGORITHM = 5
"""Raise this number when the same picture is measured differently: all measurements then count as missing."""
PATH_LAYERS = 4
"""Number of earlier layers in which a picture is compared with its unit's best examples."""
RANDOM_EXAMPLES = 64
"""Number of examples, chosen by chance, that are compared with a unit's best ones: the likeness of any image."""


def calibration_keys(plan: Plan, layer: LayerPlan) -> dict[str, str]:
    """Return the key of each picture's measurement, by the picture's key.

    A measurement depends on the picture, the layer's scan, and the earlier layers in which the picture is compared.
    """
    path = [spec.name for spec in path_to(plan, layer.layer)]
    # Without a denoiser, the keys are those of before there were any.
    model = [plan.measuring_model.key] if plan.measuring_model and plan.spans else []
    shared = fingerprint("calibration", CALIBRATION_ALGORITHM, layer.scan_keys, path, plan.random_ids, *model)
    return {picture.key: fingerprint(shared, picture.key) for picture in layer.pictures}


def calibrate_tasks(
    plan: Plan, finished: Collection[str], done: Collection[str], inputs: InputFiles = NOT_YET_WRITTEN
) -> list[CalibrateTask]:
    """Return tasks for the finished pictures that are not yet measured, in blocks.

    All are left out if `inputs` lacks the denoiser that measures them, or the statistics of the images; a layer if it
    lacks a part of its scan. A measurement made without them would keep its gaps for ever: its key would not change
    when the missing files arrive.
    """
    statistics = inputs.of_images() if plan.statistics_key else ""
    model = plan.measuring_model if plan.spans else None
    denoiser = inputs.of_learned(model) if model else None
    if model and not denoiser:
        return []
    tasks = []
    for layer in plan.layers:
        keys_of = calibration_keys(plan, layer)
        missing = [
            picture for picture in layer.pictures if picture.key in finished and keys_of[picture.key] not in done
        ]
        # Only read if something is missing: a layer's scan may have thousands of receipts.
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
                    others=tuple(plan.model_layers[name] for name in names),
                    random_ids=plan.random_ids,
                    picture_files=inputs.of_pictures([picture.key for picture in pictures]),
                    scan_files=scan,
                    statistics_file=statistics,
                    cells_file=cells_file(layer, pictures, inputs),
                    learned=(denoiser,) if denoiser else (),
                    examples=plan.spans[-1].stop if plan.spans else 0,
                )
            )
    return tasks


def path_to(plan: Plan, layer: LayerSpec) -> tuple[LayerSpec, ...]:
    """Return up to PATH_LAYERS layers that run before `layer`, evenly spaced."""
    return earlier_layers(plan.model_layers.values(), plan.repeats, layer, PATH_LAYERS)
