"""A run from start to end: plan, scan, optimize, assemble, publish, show.

    make_atlas(compose(["sweep=demo"]), progress)

Stages exchange results only through the store. Each one finds what is missing and gives the executor tasks for it. So
a run is resumed by running it again, and a killed run loses only the tasks in progress.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from network_atlas.config.schema import RunConfig
from network_atlas.errors import DatasetError, counted
from network_atlas.executors import open_executor
from network_atlas.fingerprints import fingerprint
from network_atlas.plan.attributions import attribute_tasks
from network_atlas.plan.calibration import calibrate_tasks
from network_atlas.plan.directions import direction_tasks
from network_atlas.plan.layouts import layout_tasks
from network_atlas.plan.learned import fitted_here, prior_tasks
from network_atlas.plan.plan import Plan
from network_atlas.plan.reasons import in_groups
from network_atlas.plan.refusals import in_short
from network_atlas.plan.stages import STAGES
from network_atlas.plan.tasks import AssembleTask, DirectionsTask, LayoutTask, SiteTask
from network_atlas.run.basis import put_basis, reasons_since
from network_atlas.run.counts import result_of, unreadable
from network_atlas.run.inputs import StoredFiles, assemble_task
from network_atlas.run.log import RunLog
from network_atlas.run.maps import with_finished_maps, with_found_circuits, with_found_directions
from network_atlas.run.naturalness import how_to_measure, keep_naturalness
from network_atlas.run.number_format import keep
from network_atlas.run.prepare import Prepared, prepare
from network_atlas.run.publishing import publish_snapshot
from network_atlas.run.read_files import stop_watching
from network_atlas.run.record import about, record_plan
from network_atlas.run.result import Result
from network_atlas.run.running import Progress, Run
from network_atlas.site.map_and_circuit import circuits, map_links
from network_atlas.site.map_pages import VERSION as MAP_VERSION
from network_atlas.site.pages import VERSION as SITE_VERSION
from network_atlas.site.worker import put_index, remove_stale_pages
from network_atlas.store.current import show
from network_atlas.store.failures import quarantined, release
from network_atlas.store.lease import Lease
from network_atlas.store.manifest import Manifest, latest
from network_atlas.store.paths import DERIVED, activation_atlas_directory, atlas_directory, visualizations_directory
from network_atlas.store.receipts import is_whole, read_receipts
from network_atlas.store.results import Done
from network_atlas.store.root import Store
from network_atlas.store.touched import committed_sizes


def make_atlas(config: RunConfig, progress: Progress) -> Result:
    """Make or complete the atlas that `config` describes, publish it, and return the result in numbers.

    A share of a sweep is scanned, optimized and calibrated as far as possible; a run without `sweep.share` does the
    rest of all shares and publishes. Pictures that can't be made are left out and counted, also by later runs, until
    `retry_failed` asks for them. Raises RootBusyError if another run works on the root. Raises TasksFailedError, after
    everything else is done and committed, if a span, a table or a page could not be made.
    """
    prepared = prepare(config)
    stop_watching()  # what was read so far is what the plan is derived from
    log = RunLog(prepared.store)
    # In this order: a run that is refused the lease must not write a log or start workers.
    with Lease(prepared.store, log.run, config.sweep.share), log, open_executor(config.executor) as executor:
        if not _is_of_root(prepared):
            prepared = prepare(config)
        record_plan(prepared)
        prepared.store.clear_staging()
        if config.retry_failed:
            release(prepared.store)
        log.note("run_started", **about(prepared), run=log.run)
        for notice in prepared.notices:
            log.note("dataset", message=notice)
            progress.message(f"dataset: {notice}")
        for line in in_short(prepared.sweep.passed_over):
            log.note("model", message=line)
            progress.message(f"model: {line}")
        if line := how_to_measure(prepared.config, prepared.plan):
            log.note("naturalness", message=line)
            progress.message(f"naturalness: {line}")
        current = Run(prepared=prepared, progress=progress, executor=executor, log=log)
        before = latest(current.store)
        _explain(current, before)
        _scan_and_optimize(current)
        _calibrate(current)
        done = current.done()
        # Only now: pictures that do not use the scan are made even if a span failed.
        current.stop_if_failed("scan")
        current.stop_if_failed("prior")
        if config.sweep.share:
            return result_of(current.prepared, done, manifest=None)
        done = _attribute(current)
        _assemble(current, done)
        current.stop_if_failed("assemble")
        manifest = _publish(current, done, before)
        _show(current, manifest)
        current.stop_if_failed()
    return result_of(current.prepared, done, manifest)


def _is_of_root(prepared: Prepared) -> bool:
    """Say whether what the first run of the root chose is what the plan was made with; the first run's is kept now."""
    config, store, plan = prepared.config, prepared.store, prepared.plan
    formats, naturalness = keep(config, store, plan.dtypes), keep_naturalness(config, store, plan)
    return formats and naturalness


def _explain(current: Run, before: Manifest | None) -> None:
    """Say what is reused and why the rest is made; only in the log where nothing is published yet."""
    for line in in_groups(reasons_since(before, current.prepared, current.done().keys)):
        current.log.note("layers", message=line)
        if before is not None:
            current.progress.message(line)


def _stop_if_nothing_was_readable(current: Run) -> None:
    prepared, count = current.prepared, len(current.prepared.examples)
    if count and unreadable(prepared, current.done()) == count:
        examples = counted(count, prepared.config.dataset.example)
        raise DatasetError(
            f"the dataset has {examples}, of which none could be read; `atlas status "
            f"{prepared.config.store.root}` says why. "
            "Give another dataset, or fix the files and change dataset.version."
        )


def _scan_and_optimize(current: Run) -> None:
    plan = current.prepared.plan
    current.stage(STAGES["scan"], plan.scan_tasks(current.done().scan), total=len(plan.share_spans))
    _stop_if_nothing_was_readable(current)
    current.merge_statistics()
    _lay_out(current)
    _fit_models(current)
    _optimize(current)


def _optimize(current: Run) -> None:
    plan, done = current.prepared.plan, current.done()
    left_out = quarantined(current.store, "optimize")
    optimize = plan.optimize_tasks({*done.optimize, *left_out}, StoredFiles(current.prepared, done))
    current.stage(STAGES["optimize"], optimize, total=len(plan.share_pictures))


def _lay_out(current: Run) -> None:
    """Lay out the maps and find directions, and add the pictures of cells and directions to the plan."""
    prepared = current.prepared
    parts = [part for layer in prepared.plan.layers for part in layer.laid_out if prepared.plan.share.has(part.key)]
    if not parts:
        return
    tasks = _layout_tasks(current)
    current.stage(STAGES["layout"], tasks, total=len(parts))
    # What waited for the map that all others are aligned to; what failed is not tried again.
    if waited := [task for task in _layout_tasks(current) if task not in tasks]:
        current.stage(STAGES["layout"], waited, total=len(parts))
    done, store, config = current.done(), prepared.store, prepared.config
    plan = with_finished_maps(prepared.plan, done.layout, store, config)
    plan = with_found_directions(plan, done.layout, store, config)
    # Those of an earlier run again, so that pictures keep their order.
    _replan(current, with_found_circuits(plan, done.attribute, store, config))


def _layout_tasks(current: Run) -> list[LayoutTask | DirectionsTask]:
    plan, done = current.prepared.plan, current.done()
    inputs = StoredFiles(current.prepared, done)
    return [*layout_tasks(plan, done.layout, inputs), *direction_tasks(plan, done.layout, inputs)]


def _replan(current: Run, plan: Plan) -> bool:
    """Go on with a plan that has further pictures; say whether it has any."""
    differs = plan != current.prepared.plan
    if differs:
        current.prepared = replace(current.prepared, plan=plan)
        record_plan(current.prepared)
    return differs


def _fit_models(current: Run) -> None:
    """Fit the models that recipes of the run take from its dataset; most runs take none."""
    plan = current.prepared.plan
    if models := fitted_here(plan):
        tasks = prior_tasks(plan, current.done().prior, current.prepared.config)
        current.stage(STAGES["prior"], tasks, total=len(models))


def _calibrate(current: Run) -> None:
    if current.prepared.config.sweep.share:  # other shares may have scanned the rest meanwhile
        current.merge_statistics()
    plan, done = current.prepared.plan, current.done()
    left_out = quarantined(current.store, "calibrate")
    finished = plan.share_pictures & set(done.optimize)
    inputs = StoredFiles(current.prepared, done)
    tasks = calibrate_tasks(plan, finished=finished, done={*done.calibrate, *left_out}, inputs=inputs)
    current.stage(STAGES["calibrate"], tasks, total=len(finished))


def _attribute(current: Run) -> Done:
    """Attribute the channels that are to be, and return what is done then. Without any the stage is not mentioned.

    Where the examples of a channel turn out to be two groups, each of these gets a picture.
    """
    prepared = current.prepared
    total = sum(map(len, prepared.plan.attributions.values()))
    if total:
        done = current.done()
        tasks = attribute_tasks(prepared.plan, done.attribute, StoredFiles(prepared, done))
        current.stage(STAGES["attribute"], tasks, total=total)
        found = with_found_circuits(prepared.plan, current.done().attribute, prepared.store, prepared.config)
        if _replan(current, found):
            _optimize(current)
            _calibrate(current)
    return current.done()


def _assemble(current: Run, done: Done) -> None:
    tasks = [assemble_task(layer, current.prepared, done) for layer in current.prepared.plan.layers]
    missing = _outdated(current.store, "assemble", tasks)
    current.stage(STAGES["assemble"], missing, total=len(tasks))


def _outdated(store: Store, stage: str, tasks: Sequence[AssembleTask | SiteTask]) -> list[AssembleTask | SiteTask]:
    """Return the tasks whose last receipt has another key, or whose files are missing or not as committed."""
    receipts = {receipt.task: receipt for receipt in read_receipts(store, stage)}
    sizes = committed_sizes(store, receipts.values(), DERIVED)

    def current(task: AssembleTask | SiteTask) -> bool:
        receipt = receipts.get(task.id)
        return receipt is not None and receipt.keys == task.keys and is_whole(receipt, sizes)

    return [task for task in tasks if not current(task)]


def _publish(current: Run, done: Done, before: Manifest | None) -> Manifest:
    """Publish the snapshot; `before` is the newest one so far, and stays so while this run holds the lease."""
    manifest = publish_snapshot(current.prepared, done, current.log.run)
    put_basis(current.prepared, manifest)
    if before is None or before.number != manifest.number:
        current.log.event("published", snapshot=manifest.number, files=len(manifest.files))
    dropped = [path for path in show(current.store, manifest) if path.startswith("atlas/")]
    if dropped:
        current.progress.message(
            f"{counted(len(dropped), 'table')} removed from atlas/, of layers that are not in this sweep; "
            "earlier snapshots keep them"
        )
    return manifest


def _show(current: Run, manifest: Manifest) -> None:
    layers = [layer.layer for layer in current.prepared.plan.layers]
    tables = {layer.slug: manifest.under(atlas_directory(layer))[0] for layer in layers}
    neighbours = zip([None, *layers[:-1]], layers, [*layers[1:], None], strict=True)
    cells = {layer.name: manifest.under(activation_atlas_directory(layer)) for layer in layers}
    drawn, links = circuits(manifest, layers), map_links(manifest, layers)
    # The key covers both neighbours, since each page links to them, and those of the map.
    tasks = [
        SiteTask(
            key=fingerprint(
                "site",
                (SITE_VERSION, MAP_VERSION),
                tables[layer.slug].sha256,
                cells[layer.name][0].sha256 if cells[layer.name] else "",
                (layer, before, after, links.get(layer.name)),
                *([drawn[layer.name]] if layer.name in drawn else []),  # files are named by their content
            ),
            layer=layer,
            table=tables[layer.slug].path,
            picture_files=tuple(file.path for file in manifest.under(visualizations_directory(layer))),
            previous=before,
            following=after,
            upstream=manifest.upstream.get(layer.name, ""),
            map=links.get(layer.name),
            circuit=drawn.get(layer.name),
        )
        for before, layer, after in neighbours
    ]
    missing = _outdated(current.store, "site", tasks)
    current.stage(STAGES["site"], missing, total=len(tasks))
    put_index(current.prepared.store, layers, manifest)
    remove_stale_pages(current.prepared.store, layers)
