"""Give tasks the files that they read: what earlier stages left in the store."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from network_atlas.fingerprints import fingerprint
from network_atlas.layers import LayerSpec
from network_atlas.plan.calibration import CalibrateTask, calibration_keys
from network_atlas.plan.joining import AssembleTask
from network_atlas.plan.recipes import takes_magnitude
from network_atlas.plan.tasks import LayerPlan, OptimizeTask
from network_atlas.run.prepare import Done, Prepared
from network_atlas.stats.files import FOLDERS
from network_atlas.stats.images import merge_images
from network_atlas.store import schemas
from network_atlas.store.receipts import Receipt, commit, files_under
from network_atlas.store.shards import put_shard, read_rows

ASSEMBLE_ALGORITHM = 3
"""Raise when the same results are joined to another table."""


def with_scan(task: OptimizeTask, prepared: Prepared, done: Done) -> OptimizeTask | None:
    """Return the task with the files of the scan that its pictures take something from; None where the scan failed."""
    of_images = _statistics_file(prepared, done)
    if takes_magnitude(prepared.config.recipe(task.recipe)):
        if not of_images:
            return None
        task = replace(task, statistics_file=of_images)
    if not any(picture.needs_scan for picture in task.pictures):
        return task
    files = _scan_files(task.layer, prepared, done)
    return None if files is None else replace(task, scan_files=files)


def with_pictures(task: CalibrateTask, prepared: Prepared, done: Done) -> CalibrateTask | None:
    """Return the task with its pictures' files and those of the scan; None where the scan is not whole.

    Measured without the images' own statistics, a picture would have gaps for ever: its key says what is measured, not
    what was there at the time.
    """
    files = _scan_files(task.layer, prepared, done)
    if files is None or (prepared.plan.statistics_key and not _statistics_file(prepared, done)):
        return None
    pictures = files_under((done.optimize[picture.key] for picture in task.pictures), "visualizations")
    of_images = _statistics_file(prepared, done)
    return replace(task, scan_files=files, picture_files=pictures, statistics_file=of_images)


def assemble_task(layer: LayerPlan, prepared: Prepared, done: Done) -> AssembleTask:
    """Return the task that joins everything there is about a layer; its key covers what that is."""
    pictures = [picture.key for picture in layer.pictures if picture.key in done.optimize]
    keys = calibration_keys(prepared.plan, layer)
    measured = [keys[one] for one in pictures if keys[one] in done.calibrate]
    config = prepared.config
    presentation = (config.assemble, config.model.name, config.model.input, config.dataset.label, config.scan)
    names = prepared.facts.class_names
    known = (layer, pictures, measured)
    return AssembleTask(
        key=fingerprint("assemble", ASSEMBLE_ALGORITHM, schemas.VERSION, known, presentation, names),
        plan=layer,
        picture_files=files_under((done.optimize[key] for key in pictures), "visualizations"),
        calibration_files=files_under((done.calibrate[key] for key in measured), "calibrations"),
        calibrations=tuple(measured),
        scan_files=scanned_files(done.scan[key] for key in layer.scan_keys),
        examples=len(prepared.examples),
        class_names=names,
    )


def _scan_files(layer: LayerSpec, prepared: Prepared, done: Done) -> tuple[str, ...] | None:
    (plan,) = [plan for plan in prepared.plan.layers if plan.layer.name == layer.name]
    if any(key not in done.scan for key in plan.scan_keys):
        return None
    return scanned_files(done.scan[key] for key in plan.scan_keys)


def scanned_files(receipts: Iterable[Receipt]) -> tuple[str, ...]:
    """Return the files of scan receipts that hold what was gathered about channels and examples."""
    known = list(receipts)
    return tuple(path for folder in FOLDERS for path in files_under(known, folder))


def merge_statistics(prepared: Prepared, done: Done) -> bool:
    """Write the statistics of all images together, where they are missing and every span has its own; say if so."""
    plan, store = prepared.plan, prepared.store
    key, keys = plan.statistics_key, plan.statistics_keys
    if not key or key in done.statistics or any(one not in done.scan for one in keys):
        return False
    rows = [
        row for path in files_under((done.scan[one] for one in keys), "scan/dataset") for row in read_rows(store, path)
    ]
    dataset = prepared.config.dataset
    named = {"dataset": " ".join(part for part in (dataset.source, dataset.root) if part)}
    merged = merge_images(rows, examples=len(prepared.examples))
    file = put_shard(store, "statistics", [named | merged], schemas.DATASET_STATISTICS)
    commit(store, Receipt(stage="statistics", task=key, keys=(key,), files=(file,), seconds=0.0))
    return True


def _statistics_file(prepared: Prepared, done: Done) -> str:
    """Return where the statistics of all images are; '' where there are none."""
    receipt = done.statistics.get(prepared.plan.statistics_key)
    return receipt.files[0].path if receipt else ""
