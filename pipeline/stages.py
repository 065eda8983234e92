"""A run from start to end: plan, scan, optimize, assemble, publish, show.

    run(compose(["sweep=demo"]), progress)

Stages hand over through the store alone: each asks what is missing, gives tasks for that to the executor, and goes
on. So resuming is running again, and a killed run loses what was in flight, nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
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
from pipeline.plan.joining import AssembleTask, SiteTask
from pipeline.plan.tasks import OptimizeTask
from pipeline.plan.work import work_of
from pipeline.prepare import Done, Prepared, missing_tasks, prepare, what_is_done
from pipeline.progress import Progress
from pipeline.record import about, record_plan
from pipeline.runlog import RunLog
from pipeline.site.pages import VERSION as SITE_VERSION
from pipeline.site.worker import put_index, remove_stale_pages
from pipeline.store.failures import QUARANTINED, FailedTask, put_failure, quarantined, release
from pipeline.store.lease import Lease
from pipeline.store.manifest import Manifest, latest, publish
from pipeline.store.paths import DERIVED, Store, atlas_path, statistics_path
from pipeline.store.receipts import FOLD_AT, Receipt, files_under, fold, is_whole, read_receipts
from pipeline.store.results import RESULTS
from pipeline.store.shards import FileEntry
from pipeline.units import fingerprint

HOPELESS = 50
"""Failures in a stage in which nothing was done: then the fault is not in single pictures, and going on is useless."""
COMPUTED = ("scan", "optimize", "calibrate")
"""Stages that run the network, on a GPU where there is one; the others only read and write."""
UNSEEN = ("executor", "store", "retry_failed")
"""Parts of the configuration that leave no trace in an atlas."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a run left behind."""

    manifest: Manifest | None
    """None for a share of a sweep (`sweep.shard`), which publishes nothing."""
    layers: int
    pictures: int
    unreadable: int
    quarantined: int
    """Pictures of the sweep that could not be made or measured, now or earlier, and are left out."""
    waiting: int = 0
    """Pictures of a share that can't be made or measured before other shares have scanned."""


@dataclass(slots=True)
class _Run:
    """One run under way."""

    prepared: Prepared
    progress: Progress
    executor: Executor
    log: RunLog
    failed: list[tuple[str, Failed]] = field(default_factory=list)
    _known: Done | None = None

    @property
    def store(self) -> Store:
        return self.prepared.store

    def done(self) -> Done:
        """Return what the store has. Receipts are many requests: read again only once something was done since.

        Runs that do other shares of the sweep write them too; there, each look is a new one.
        """
        if self._known is None or self.prepared.config.sweep.shard:
            self._known = what_is_done(self.store)
        return self._known

    def merge_statistics(self) -> None:
        """Write the statistics of all images together, where they are missing and can be told."""
        if merge_statistics(self.prepared, self.done()):
            self._known = None

    def stage(self, name: str, target: str, tasks: Sequence[Task], *, total: int, unit: str) -> None:
        """Have `tasks` done, show it, and note what failed. `total` counts items, done ones included."""
        missing = sum(_size(task) for task in tasks)
        self.progress.stage(name, total, total - missing, unit=unit, work=sum(map(self._work, tasks)))
        if not tasks:
            return
        self._known = None
        began, failed = time.monotonic(), len(self.failed)
        self.log.event("stage_started", stage=name, tasks=len(tasks), items=missing, total=total, unit=unit)
        done, spec = 0, WorkerSpec(target, self.prepared.config, computes=name in COMPUTED)
        longest_first = sorted(tasks, key=self._work, reverse=True)  # the last ones are short: no long wait for one
        with closing(self.executor.run(spec, longest_first)) as outcomes:
            for number, outcome in enumerate(outcomes, start=1):
                if isinstance(outcome, Failed):
                    self._note_failure(name, outcome)
                    self._stop_if_hopeless(name, done, len(self.failed) - failed, outcome)
                else:
                    done += 1
                    self.progress.advance(_size(outcome.task), work=self._work(outcome.task))
                if name in RESULTS and number % FOLD_AT == 0:
                    fold(self.store, name)
        if name in RESULTS:
            fold(self.store, name)
        failed, seconds = len(self.failed) - failed, round(time.monotonic() - began, 3)
        self.log.event("stage_ended", stage=name, done=done, failed=failed, seconds=seconds)

    def _work(self, task: Task) -> float:
        return work_of(task, self.prepared.config, self.prepared.facts)

    @staticmethod
    def _stop_if_hopeless(stage: str, done: int, failed: int, outcome: Failed) -> None:
        if not done and failed >= HOPELESS:
            raise TasksFailedError(
                f"{stage}: the first {HOPELESS} tasks all failed, the last with {outcome.error}; see failures/. "
                "Mend that and run again with retry_failed=true."
            )

    def _note_failure(self, stage: str, outcome: Failed) -> None:
        if outcome.fatal:
            raise StoreError(outcome.error.partition(": ")[2])
        self.failed.append((stage, outcome))
        failed = _failed_task(stage, outcome)
        self.log.event("task_failed", stage=stage, task=failed.task, error=failed.error, units=failed.units)
        what = ", ".join(failed.units[:2]) or f"task {failed.task[:12]}"
        self.progress.message(f"{stage}: {what} failed: {failed.error}")
        put_failure(self.store, failed)


def run(config: RunConfig, progress: Progress) -> Result:
    """Make or complete the atlas that `config` describes and return what was published.

    A share of a sweep is scanned, optimized and calibrated as far as it goes; a run without `sweep.shard` does what is
    left of all shares and publishes. Pictures that can't be made are left out and counted, now and in later runs, until
    `retry_failed` asks for them. Raises RootBusyError when another run works on the root; TasksFailedError, after
    everything else is done and committed, when a span, a table or a page could not be made.
    """
    prepared = prepare(config)
    log = RunLog(prepared.store)
    with Lease(prepared.store, log.run, config.sweep.shard), log, open_executor(config.executor) as executor:
        record_plan(prepared)
        prepared.store.clear_staging()
        if config.retry_failed:
            release(prepared.store)
        log.note("run_started", **about(prepared), run=log.run)
        current = _Run(prepared=prepared, progress=progress, executor=executor, log=log)
        _scan_and_optimize(current)
        _calibrate(current)
        done = current.done()
        _stop_if_scan_failed(current)
        if config.sweep.shard:
            return _share_result(prepared, done)
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
        quarantined=_left_out(prepared, done),
    )


def _share_result(prepared: Prepared, done: Done) -> Result:
    """Return what there is of a share now, whoever made it."""
    plan, store = prepared.plan, prepared.store
    unmade, unmeasured = (quarantined(store, stage) for stage in QUARANTINED)
    keys = {key: measured for layer in plan.layers for key, measured in calibration_keys(plan, layer).items()}
    own = plan.own_pictures
    given_up = {key for key in own if (key in unmade and key not in done.optimize) or keys[key] in unmeasured}
    given_up -= {key for key in own if keys[key] in done.calibrate}
    return Result(
        manifest=None,
        layers=len(plan.layers),
        pictures=sum(key in done.optimize for key in own),
        unreadable=unreadable(prepared, done),
        quarantined=len(given_up),
        waiting=sum(keys[key] not in done.calibrate for key in own - given_up),
    )


def _left_out(prepared: Prepared, done: Done) -> int:
    """Return how many of the plan's pictures are in quarantine: not made, or made and not measured."""
    plan, store = prepared.plan, prepared.store
    unmade, unmeasured = (quarantined(store, stage) for stage in QUARANTINED)
    made = {key for key in plan.picture_keys if key in done.optimize}
    keys = {key: measured for layer in plan.layers for key, measured in calibration_keys(plan, layer).items()}
    unmeasured -= set(done.calibrate)
    return sum(key in unmade for key in keys if key not in made) + sum(keys[key] in unmeasured for key in made)


def unreadable(prepared: Prepared, done: Done) -> int:
    """Return how many of the plan's images could not be read."""
    receipts = {done.scan[key].task: done.scan[key] for key in prepared.plan.scan_keys if key in done.scan}
    # Two tasks of one span, for other layers, count the same images.
    per_span = {files_under([one], "failures"): one.unreadable for one in receipts.values() if one.unreadable}
    return sum(per_span.values())


def _stop_if_nothing_was_readable(current: _Run) -> None:
    prepared, count = current.prepared, len(current.prepared.examples)
    if count and unreadable(prepared, current.done()) == count:
        raise DatasetError(
            f"none of the {count} images could be read; `atlas status {prepared.config.store.root}` says why. "
            "Give another dataset, or mend the files and change dataset.version."
        )


def _failed_task(stage: str, outcome: Failed) -> FailedTask:
    """Return what is written down of a failure: results that are missing, and what they would show."""
    task = outcome.task
    keys: tuple[str, ...] = ()
    pictures = task.pictures if isinstance(task, OptimizeTask | CalibrateTask) else ()
    if isinstance(task, OptimizeTask):
        keys = tuple(picture.key for picture in task.pictures)
    elif isinstance(task, CalibrateTask):
        keys = task.keys
    units = tuple(f"{picture.unit.label} {picture.variant}" for picture in pictures)
    return FailedTask(stage=stage, task=task.id, error=outcome.error, details=outcome.details, keys=keys, units=units)


def _size(task: Task) -> int:
    return len(task.pictures) if isinstance(task, OptimizeTask | CalibrateTask) else 1


def _scan_and_optimize(current: _Run) -> None:
    plan = current.prepared.plan
    scan, _ = missing_tasks(current.prepared, current.done())
    current.stage("scan", "pipeline.scan.worker:ScanWorker", scan, total=len(plan.own_spans), unit="spans")
    _stop_if_nothing_was_readable(current)
    current.merge_statistics()
    done = current.done()
    optimize = plan.optimize_tasks({*done.optimize, *quarantined(current.store, "optimize")})
    current.stage(
        "optimize",
        "pipeline.optimize.worker:OptimizeWorker",
        [ready for task in optimize if (ready := with_scan(task, current.prepared, done))],
        total=len(plan.own_pictures),
        unit="pictures",
    )


def _calibrate(current: _Run) -> None:
    if current.prepared.config.sweep.shard:  # other shares may have scanned the rest meanwhile
        current.merge_statistics()
    plan, done = current.prepared.plan, current.done()
    left_out = quarantined(current.store, "calibrate")
    made = plan.own_pictures & set(done.optimize)
    missing = calibrate_tasks(plan, made=made, done={*done.calibrate, *left_out})
    tasks = [ready for task in missing if (ready := with_pictures(task, current.prepared, done))]
    current.stage("calibrate", "pipeline.calibrate.worker:CalibrateWorker", tasks, total=len(made), unit="pictures")


def _assemble(current: _Run, done: Done) -> None:
    tasks = [assemble_task(layer, current.prepared, done) for layer in current.prepared.plan.layers]
    missing = _outdated(current.store, "assemble", tasks)
    current.stage("assemble", "pipeline.assemble.worker:AssembleWorker", missing, total=len(tasks), unit="layers")
    layers = [layer.layer for layer in current.prepared.plan.layers]
    dropped = set(current.store.list("atlas")) - {atlas_path(layer) for layer in layers}
    statistics = set(current.store.list("channel_stats")) - {statistics_path(layer) for layer in layers}
    for path in dropped | statistics:
        current.store.delete(path)
    if dropped:
        current.progress.message(
            f"{len(dropped)} layers are not in this sweep: their tables left atlas/, what they were made from is kept"
        )


def _outdated(store: Store, stage: str, tasks: Sequence[AssembleTask | SiteTask]) -> list[AssembleTask | SiteTask]:
    """Return the tasks whose last receipt is for another key, or whose files are gone or of another size."""
    receipts = {receipt.task: receipt for receipt in read_receipts(store, stage)}
    sizes = {path: size for folder in DERIVED for path, size in store.sizes(folder).items()}

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
        config={name: value for name, value in to_plain(prepared.config).items() if name not in UNSEEN},
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
    failed = [
        (name, outcome)
        for name, outcome in current.failed
        if (name not in QUARANTINED if stage is None else name == stage)
    ]
    if failed:
        lines = "\n  ".join(f"{name} {outcome.task.id[:12]}: {outcome.error}" for name, outcome in failed[:10])
        raise TasksFailedError(
            f"{len(failed)} tasks could not be done; everything else is kept under {current.store.root!r}:\n  {lines}\n"
            "Details are in its folder failures/. Run the same command to try them again."
        )
