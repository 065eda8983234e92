"""Give tasks the files that they read: what earlier stages left in the store. Reads receipts only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from pipeline.plan.calibration import CalibrateTask, calibration_key
from pipeline.plan.tasks import AssembleTask, LayerPlan, OptimizeTask
from pipeline.prepare import Done, Prepared
from pipeline.store import schemas
from pipeline.store.receipts import Receipt
from pipeline.units import LayerSpec, fingerprint

ASSEMBLE_ALGORITHM = 2
"""Raise when the same results are joined to another table."""


def with_scan(task: OptimizeTask, prepared: Prepared, done: Done) -> OptimizeTask | None:
    """Return the task with the files of the scan that its pictures take something from; None where the scan failed."""
    if not any(picture.needs_scan for picture in task.pictures):
        return task
    files = _scan_files(task.layer, prepared, done)
    return None if files is None else replace(task, scan_files=files)


def with_pictures(task: CalibrateTask, prepared: Prepared, done: Done) -> CalibrateTask | None:
    """Return the task with its pictures' files and those of the scan; None where the scan failed."""
    files = _scan_files(task.layer, prepared, done)
    pictures = files_of(done.optimize[picture.key] for picture in task.pictures)
    return None if files is None else replace(task, scan_files=files, picture_files=pictures)


def assemble_task(layer: LayerPlan, prepared: Prepared, done: Done) -> AssembleTask:
    """Return the task that joins everything there is about a layer; its key covers what that is."""
    pictures = [picture.key for picture in layer.pictures if picture.key in done.optimize]
    keys = [calibration_key(prepared.plan, layer, one) for one in layer.pictures if one.key in done.optimize]
    measured = [key for key in keys if key in done.calibrate]
    config = prepared.config
    presentation = (config.assemble, config.model.name, config.model.input, config.dataset.label, config.scan)
    names = prepared.facts.class_names
    known = (layer, pictures, measured)
    return AssembleTask(
        key=fingerprint("assemble", ASSEMBLE_ALGORITHM, schemas.VERSION, known, presentation, names),
        plan=layer,
        picture_files=files_of(done.optimize[key] for key in pictures),
        calibration_files=files_of(done.calibrate[key] for key in measured),
        calibrations=tuple(measured),
        partial_files=files_of(done.scan[key] for key in layer.scan_keys),
        examples=len(prepared.examples),
        class_names=names,
    )


def files_of(receipts: Iterable[Receipt]) -> tuple[str, ...]:
    """Return the file of results of each receipt, each file once."""
    return tuple(dict.fromkeys(receipt.files[0].path for receipt in receipts))


def _scan_files(layer: LayerSpec, prepared: Prepared, done: Done) -> tuple[str, ...] | None:
    (plan,) = [plan for plan in prepared.plan.layers if plan.layer.name == layer.name]
    if any(key not in done.scan for key in plan.scan_keys):
        return None
    return files_of(done.scan[key] for key in plan.scan_keys)
