"""`atlas plan`: show the results of each run, which of them exist already, and the cost of the others."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

from rich.markup import escape
from rich.table import Table

from network_atlas.cli.amounts import duration, size, unit_of
from network_atlas.cli.configurations import configs_of, for_each
from network_atlas.cli.console import output, print_json, print_result, table
from network_atlas.cli.exit_codes import DONE
from network_atlas.config.schema import RunConfig
from network_atlas.errors import counted
from network_atlas.fingerprints import fingerprint
from network_atlas.models.device import use_threads
from network_atlas.models.steps import choices_of
from network_atlas.plan.contents import LayerPlan
from network_atlas.plan.estimate import Estimate, StageCost, estimate, workers_of
from network_atlas.plan.reasons import Reason, in_groups
from network_atlas.plan.refusals import in_short
from network_atlas.run.basis import reasons_of
from network_atlas.run.naturalness import how_to_measure
from network_atlas.run.prepare import Loaded, Prepared, prepare
from network_atlas.run.speeds import speeds_of, threads_of
from network_atlas.store.results import Done, what_is_done

FORMAT = 1
"""Version of the JSON object. Fields may be added; none is renamed or gets another meaning."""


def command(options: argparse.Namespace) -> int:
    """Print the plan of each configuration, or only its name; return the exit code."""
    return for_each(configs_of(options), print_id if options.id else lambda config: print_plan(config, options.json))


def print_id(config: RunConfig) -> int:
    """Print the name of a run: lower-case letters, digits and hyphens, at most 40 of them."""
    print_result(plan_id(prepare(config, measured=False)))
    return DONE


def print_plan(config: RunConfig, as_json: bool) -> int:
    """Print the plan of a run; change nothing."""
    use_threads(threads_of(config))  # as many as a worker has, so that timings here hold for a worker
    loaded = Loaded(config)
    prepared = prepare(config, measured=False, loaded=loaded)
    done = what_is_done(prepared.store)
    cost = estimate(
        prepared.config,
        prepared.facts,
        prepared.plan,
        done=done.keys,
        measured=done.calibrate,
        speeds=speeds_of(prepared, done, loaded.model),
    )
    why = reasons_of(prepared, done.keys)
    if as_json:
        print_json(plain_plan(prepared, done, cost, why))
        return DONE
    console = output()
    console.print(_layer_table(prepared, done))
    for line in _plan_lines(prepared, cost, why):
        console.print(line, markup=False)
    console.print(_stage_table(cost))
    for line in _cost_lines(prepared, cost):
        console.print(line, markup=False)
    return DONE


def plan_id(prepared: Prepared) -> str:
    """Return a name that is the same for the same results under the same root: a scheduler can refuse a second job."""
    plan, config = prepared.plan, prepared.config
    results = (plan.picture_keys, plan.scan_keys, plan.statistics_keys)
    return f"atlas-{fingerprint('run', config.store.root, config.sweep.share, results)[:32]}"


def plain_plan(prepared: Prepared, done: Done, cost: Estimate, why: Sequence[Reason]) -> dict[str, object]:
    """Return a plan as plain values; `atlas plan --help` describes them."""
    per_hour = prepared.config.executor.price_per_hour
    return {
        "format": FORMAT,
        "root": prepared.config.store.root,
        "model": prepared.config.model.name,
        "examples": len(prepared.examples),
        "layers": [
            _plain_layer(layer, finished) | _plain_reason(reason)
            for (layer, finished), reason in zip(_layers(prepared, done), why, strict=True)
        ],
        "dataset_notices": list(prepared.notices),
        "passed_over": dict(prepared.sweep.passed_over),
        "stages": [_plain_stage(stage) for stage in cost.stages],
        "forward_passes": round(cost.forward_passes),
        "bytes_written": cost.bytes_written,
        "naming_seconds": cost.naming_seconds,
        "naturalness_seconds": cost.naturalness_seconds,
        "compiled": list(choices_of(prepared.store)),
        "price_per_hour": per_hour or None,
        "workers": [
            {
                "workers": count,
                "seconds": cost.seconds(count),
                "seconds_at_most": cost.seconds_at_most(count),
                "price": cost.price(count, per_hour) if per_hour else None,
            }
            for count in workers_of(prepared.config)
        ],
    }


def _plain_layer(layer: LayerPlan, finished: int) -> dict[str, object]:
    spec = layer.layer
    return {
        "layer": spec.name,
        "type": spec.type,
        "shape": spec.shape,
        "channels": len(layer.channels),
        "pictures": len(layer.pictures),
        "done": finished,
    }


def _plain_reason(reason: Reason) -> dict[str, object]:
    return {"state": reason.state, "reason": reason.text or None, "changed": list(reason.changed)}


def _plain_stage(stage: StageCost) -> dict[str, object]:
    return {
        "name": stage.name,
        "unit": stage.unit,
        "total": stage.total,
        "reused": stage.reused,
        "tasks": stage.tasks,
        "worker_seconds": stage.seconds,
        "longest_task_seconds": stage.longest,
        "source": stage.source,
    }


def _layers(prepared: Prepared, done: Done) -> Iterator[tuple[LayerPlan, int]]:
    """Yield each layer with the number of its finished pictures."""
    for layer in prepared.plan.layers:
        yield layer, sum(picture.key in done.optimize for picture in layer.pictures)


def _layer_table(prepared: Prepared, done: Done) -> Table:
    rows = table("layer", "type", "shape", counts=("channels", "pictures", "done"))
    for layer, finished in _layers(prepared, done):
        spec = layer.layer
        counts = (len(layer.channels), len(layer.pictures), finished)
        rows.add_row(escape(spec.name), spec.type, spec.shape, *(str(count) for count in counts))
    return rows


def _plan_lines(prepared: Prepared, cost: Estimate, why: Sequence[Reason]) -> list[str]:
    config, plan, passed_over = prepared.config, prepared.plan, prepared.sweep.passed_over
    stages = {stage.name: stage for stage in cost.stages}
    scan, optimize = stages["scan"], stages["optimize"]
    channels = counted(sum(len(layer.channels) for layer in plan.layers), "channel")
    layers = f"{len(plan.layers)} of {counted(len(prepared.facts.layers), 'layer')}, {channels}"
    examples = f"{counted(len(prepared.examples), 'example')} in {counted(len(plan.spans), 'span')}"
    scanned = f"{scan.reused:,} scanned, {counted(scan.tasks, 'scan task')} to do"
    to_do = f"{optimize.total - optimize.reused:,} to do in {counted(optimize.tasks, 'task')}"
    return [
        "",
        f"model     {config.model.name}: {layers}",
        *(f"          {line}" for line in in_short(passed_over)),
        f"dataset   {examples}; {scanned}",
        *(f"          {notice}" for notice in prepared.notices),
        f"pictures  {optimize.total:,}; {optimize.reused:,} done, {to_do}",
        f"root      {config.store.root}",
        *(f"{'' if number else 'compile':<9} {line}" for number, line in enumerate(choices_of(prepared.store))),
        *(f"{'' if number else 'layers':<9} {line}" for number, line in enumerate(in_groups(why))),
        "",
    ]


def _stage_table(cost: Estimate) -> Table:
    words = ("", "one worker", "longest task", "times from")
    rows = table("stage", counts=("total", "reused", "tasks"), words=words)
    for stage in cost.stages:
        counts = (f"{count:,}" for count in (stage.total, stage.reused, stage.tasks))
        times = (duration(stage.seconds), duration(stage.longest), stage.source) if stage.tasks else ("", "", "")
        rows.add_row(stage.name, *counts, unit_of(stage.total, stage.unit), *times)
    return rows


def _cost_lines(prepared: Prepared, cost: Estimate) -> list[str]:
    per_hour = prepared.config.executor.price_per_hour
    times = [
        f"{counted(count, 'worker')} {_range(cost, count)}"
        + (f" ({cost.price(count, per_hour):,.2f})" if per_hour else "")
        for count in workers_of(prepared.config)
    ]
    return [
        "",
        f"work      {cost.forward_passes:,.0f} forward passes of the whole network, {size(cost.bytes_written)} written",
        f"cost      about {', '.join(times)}",
        *([f"          at {per_hour:g} per worker and hour"] if per_hour else []),
        *_naming_lines(prepared, cost),
        *_naturalness_lines(prepared, cost),
    ]


def _naming_lines(prepared: Prepared, cost: Estimate) -> list[str]:
    """Return what names and clarity cost, where they are made anew."""
    if not cost.naming_seconds:
        return []
    channels = counted(sum(layer.layer.channels for layer in prepared.plan.layers), "channel")
    return [f"names     about {duration(cost.naming_seconds)} of assembling: names and clarity of {channels}"]


def _naturalness_lines(prepared: Prepared, cost: Estimate) -> list[str]:
    """Return what it costs to say how natural pictures look, or what to do for it where nothing measures it."""
    model = prepared.plan.measuring_model
    if model and cost.naturalness_seconds:
        seconds = duration(cost.naturalness_seconds)
        return [f"natural   about {seconds} of calibrating: how natural pictures look to the denoiser {model.source!r}"]
    missing = how_to_measure(prepared.config, prepared.plan)
    return [f"natural   {missing}"] if missing else []


def _range(cost: Estimate, workers: int) -> str:
    """Return '3 h 10 min to 4 h 05 min', or a single duration if both are the same."""
    low, high = duration(cost.seconds(workers)), duration(cost.seconds_at_most(workers))
    return low if low == high else f"{low} to {high}"
