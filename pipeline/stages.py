"""A run from start to end: plan, scan, optimize, assemble, publish, show.

    run(compose(["sweep=demo"]), progress)

Stages hand over through the store alone: each asks what is missing, gives tasks for that to the executor, and goes
on. So resuming is running again, and a killed run loses what was in flight, nothing else.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pipeline
from pipeline.config.plain import to_plain
from pipeline.config.schema import RunConfig
from pipeline.errors import DatasetError, StoreError, TasksFailedError
from pipeline.executors import open_executor
from pipeline.executors.base import Executor, Failed, Task, WorkerSpec
from pipeline.inputs import assemble_task, merge_statistics, with_pictures, with_scan
from pipeline.plan.calibration import CalibrateTask, calibrate_tasks, calibration_keys
from pipeline.plan.tasks import AssembleTask, OptimizeTask, SiteTask
from pipeline.prepare import Done, Prepared, missing_tasks, prepare, what_is_done
from pipeline.progress import Progress
from pipeline.record import about, record_plan
from pipeline.runlog import RunLog
from pipeline.site.pages import VERSION as SITE_VERSION
from pipeline.site.worker import put_index, remove_stale_pages
from pipeline.store.manifest import Manifest, latest, publish
from pipeline.store.paths import Store, atlas_path
from pipeline.store.receipts import FOLD_AT, Receipt, files_under, fold, is_whole, read_receipts
from pipeline.store.results import RESULTS
from pipeline.store.shards import FileEntry
from pipeline.units import fingerprint


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a run left behind."""

    manifest: Manifest
    layers: int
    pictures: int
    unreadable: int


@dataclass(slots=True)
class _Run:
    """One run under way."""

    prepared: Prepared
    progress: Progress
    executor: Executor
    log: RunLog
    failed: list[tuple[str, Failed]] = field(default_factory=list)

    @property
    def store(self) -> Store:
        return self.prepared.store

    def stage(self, name: str, target: str, tasks: Sequence[Task], *, total: int, unit: str) -> None:
        """Have `tasks` done, show it, and note what failed. `total` counts items, done ones included."""
        missing = sum(_size(task) for task in tasks)
        self.progress.stage(name, total, total - missing, unit=unit)
        if not tasks:
            return
        began, failed = time.monotonic(), len(self.failed)
        self.log.event("stage_started", stage=name, tasks=len(tasks), items=missing, total=total, unit=unit)
        for number, outcome in enumerate(self.executor.run(WorkerSpec(target, self.prepared.config), tasks), start=1):
            if isinstance(outcome, Failed):
                self._note_failure(name, outcome)
            else:
                self.progress.advance(_size(outcome.task))
            if name in RESULTS and number % FOLD_AT == 0:
                fold(self.store, name)
        if name in RESULTS:
            fold(self.store, name)
        failed, seconds = len(self.failed) - failed, round(time.monotonic() - began, 3)
        self.log.event("stage_ended", stage=name, done=len(tasks) - failed, failed=failed, seconds=seconds)

    def _note_failure(self, stage: str, outcome: Failed) -> None:
        if outcome.fatal:
            raise StoreError(outcome.error.partition(": ")[2])
        self.failed.append((stage, outcome))
        self.log.event("task_failed", stage=stage, task=outcome.task.id, error=outcome.error)
        self.progress.message(f"{stage}: task {outcome.task.id[:12]} failed: {outcome.error}")
        record = {"stage": stage, "task": outcome.task.id, "error": outcome.error, "details": outcome.details}
        self.store.write(f"failures/{stage}/{outcome.task.id}.json", json.dumps(record, indent=1).encode())


def run(config: RunConfig, progress: Progress) -> Result:
    """Make or complete the atlas that `config` describes and return what was published.

    Raises TasksFailedError, after everything else is done and committed, when some tasks could not be done.
    """
    prepared = prepare(config)
    record_plan(prepared)
    prepared.store.clear_staging()
    with RunLog(prepared.store) as log, open_executor(config.executor) as executor:
        log.note("run_started", **about(prepared), run=log.run)
        current = _Run(prepared=prepared, progress=progress, executor=executor, log=log)
        _scan_and_optimize(current)
        _calibrate(current)
        done = what_is_done(prepared.store)
        _stop_if_scan_failed(current)
        _assemble(current, done)
        _stop_if_failed(current, stage="assemble")
        manifest = _publish(current, done)
        _show(current, manifest)
        _stop_if_failed(current)
    return Result(
        manifest=manifest,
        layers=len(prepared.plan.layers),
        pictures=sum(key in done.optimize for key in prepared.plan.picture_keys),
        unreadable=unreadable(prepared, done),
    )


def unreadable(prepared: Prepared, done: Done) -> int:
    """Return how many of the plan's images could not be read."""
    receipts = {done.scan[key].task: done.scan[key] for key in prepared.plan.scan_keys if key in done.scan}
    # Two tasks of one span, for other layers, count the same images.
    per_span = {files_under([one], "failures"): one.unreadable for one in receipts.values() if one.unreadable}
    return sum(per_span.values())


def _stop_if_nothing_was_readable(prepared: Prepared) -> None:
    count = len(prepared.examples)
    if count and unreadable(prepared, what_is_done(prepared.store)) == count:
        raise DatasetError(
            f"none of the {count} images could be read; `atlas status {prepared.config.store.root}` says why. "
            "Give another dataset, or mend the files and change dataset.version."
        )


def _size(task: Task) -> int:
    return len(task.pictures) if isinstance(task, OptimizeTask | CalibrateTask) else 1


def _scan_and_optimize(current: _Run) -> None:
    plan = current.prepared.plan
    scan, _ = missing_tasks(current.prepared, what_is_done(current.store))
    current.stage("scan", "pipeline.scan.worker:ScanWorker", scan, total=len(plan.spans), unit="spans")
    _stop_if_nothing_was_readable(current.prepared)
    merge_statistics(current.prepared, what_is_done(current.store))
    done = what_is_done(current.store)
    _, optimize = missing_tasks(current.prepared, done)
    current.stage(
        "optimize",
        "pipeline.optimize.worker:OptimizeWorker",
        [ready for task in optimize if (ready := with_scan(task, current.prepared, done))],
        total=len(plan.picture_keys),
        unit="pictures",
    )


def _calibrate(current: _Run) -> None:
    plan, done = current.prepared.plan, what_is_done(current.store)
    missing = calibrate_tasks(plan, made=done.optimize, done=done.calibrate)
    made = sum(key in done.optimize for key in plan.picture_keys)
    tasks = [ready for task in missing if (ready := with_pictures(task, current.prepared, done))]
    current.stage("calibrate", "pipeline.calibrate.worker:CalibrateWorker", tasks, total=made, unit="pictures")


def _assemble(current: _Run, done: Done) -> None:
    tasks = [assemble_task(layer, current.prepared, done) for layer in current.prepared.plan.layers]
    missing = _outdated(current.store, "assemble", tasks)
    current.stage("assemble", "pipeline.assemble.worker:AssembleWorker", missing, total=len(tasks), unit="layers")
    wanted = {atlas_path(layer.layer) for layer in current.prepared.plan.layers}
    dropped = set(current.store.list("atlas")) - wanted
    for path in dropped:
        current.store.delete(path)
    if dropped:
        current.progress.message(
            f"{len(dropped)} layers are not in this sweep: their tables left atlas/, what they were made from is kept"
        )


def _outdated(store: Store, stage: str, tasks: Sequence[AssembleTask | SiteTask]) -> list[AssembleTask | SiteTask]:
    """Return the tasks whose last receipt is for another key, or whose files are gone or of another size."""
    receipts = {receipt.task: receipt for receipt in read_receipts(store, stage)}
    sizes = store.sizes("atlas") | store.sizes("site")

    def current(task: AssembleTask | SiteTask) -> bool:
        receipt = receipts.get(task.id)
        return receipt is not None and receipt.keys == (task.key,) and is_whole(receipt, sizes)

    return [task for task in tasks if not current(task)]


def _measured(prepared: Prepared, done: Done) -> Iterator[Receipt]:
    """Yield the receipts of what was measured of pictures and images."""
    plan = prepared.plan
    wanted = {key for layer in plan.layers for key in calibration_keys(plan, layer).values()}
    yield from (done.calibrate[key] for key in sorted(wanted & set(done.calibrate)))
    yield from (done.scan[key] for key in plan.statistics_keys if key in done.scan)
    if plan.statistics_key in done.statistics:
        yield done.statistics[plan.statistics_key]


def _publish(current: _Run, done: Done) -> Manifest:
    prepared = current.prepared
    slugs = {layer.layer.slug for layer in prepared.plan.layers}
    receipts: list[Receipt] = [
        *(done.scan[key] for key in prepared.plan.scan_keys),
        *(done.optimize[key] for key in prepared.plan.picture_keys if key in done.optimize),
        *_measured(prepared, done),
        *(receipt for receipt in read_receipts(prepared.store, "assemble") if receipt.task in slugs),
    ]
    files: dict[str, FileEntry] = {file.path: file for receipt in receipts for file in receipt.files}
    before = latest(prepared.store)
    manifest = publish(
        prepared.store,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        version=pipeline.__version__,
        config={name: value for name, value in to_plain(prepared.config).items() if name not in ("executor", "store")},
        upstream={layer.layer.name: layer.upstream for layer in prepared.plan.layers},
        files=list(files.values()),
    )
    if before is None or before.number != manifest.number:
        current.log.event("published", snapshot=manifest.number, files=len(files))
    return manifest


def _show(current: _Run, manifest: Manifest) -> None:
    layers = [layer.layer for layer in current.prepared.plan.layers]
    hashes = {file.path: file.sha256 for file in manifest.files}
    neighbours = zip([None, *layers[:-1]], layers, [*layers[1:], None], strict=True)
    tasks = [
        SiteTask(
            key=fingerprint("site", SITE_VERSION, hashes[atlas_path(layer)], layer, before, after),
            layer=layer,
            previous=before,
            following=after,
        )
        for before, layer, after in neighbours
    ]
    missing = _outdated(current.store, "site", tasks)
    current.stage("site", "pipeline.site.worker:SiteWorker", missing, total=len(tasks), unit="pages")
    put_index(current.prepared.store, current.prepared.config, layers, manifest, len(current.prepared.examples))
    remove_stale_pages(current.prepared.store, layers)


def _stop_if_scan_failed(current: _Run) -> None:
    if any(stage == "scan" for stage, _ in current.failed):
        _stop_if_failed(current)


def _stop_if_failed(current: _Run, stage: str | None = None) -> None:
    failed = [(name, outcome) for name, outcome in current.failed if stage in (None, name)]
    if failed:
        lines = "\n  ".join(f"{name} {outcome.task.id[:12]}: {outcome.error}" for name, outcome in failed[:10])
        raise TasksFailedError(
            f"{len(failed)} tasks could not be done; everything else is kept under {current.store.root!r}:\n  {lines}\n"
            "Details are in its folder failures/. Run the same command to try them again."
        )
