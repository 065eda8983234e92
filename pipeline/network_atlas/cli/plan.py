"""What `atlas plan` prints of one run: what it would make, what exists already, and what the rest would cost."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from rich.markup import escape
from rich.table import Table

from network_atlas.cli.console import duration, output, size, table
from network_atlas.config.schema import RunConfig
from network_atlas.fingerprints import fingerprint
from network_atlas.models.device import use_threads
from network_atlas.plan.contents import LayerPlan
from network_atlas.plan.estimate import WORKERS, Estimate, StageCost, estimate
from network_atlas.run.prepare import Done, Prepared, prepare, what_is_done
from network_atlas.run.speeds import speeds_of, threads_of

FORMAT = 1
"""Of the JSON object. Fields may be added; none is renamed or given another meaning."""


def plan_one(config: RunConfig, *, as_json: bool = False) -> None:
    """Print the plan of a run; change nothing."""
    use_threads(threads_of(config))  # so that what is timed is a worker's
    prepared = prepare(config, receptive_fields=False)
    done = what_is_done(prepared.store)
    cost = estimate(
        prepared.config,
        prepared.facts,
        prepared.plan,
        done=done.keys,
        measured=done.calibrate,
        speeds=speeds_of(prepared, done),
    )
    if as_json:
        print(json.dumps(plain_plan(prepared, done, cost), indent=1))  # noqa: T201
        return
    console = output()
    console.print(_layer_table(prepared, done))
    for line in _lines(prepared, cost):
        console.print(line, markup=False)
    console.print(_stage_table(cost))
    for line in _cost_lines(prepared, cost):
        console.print(line, markup=False)


def print_id(config: RunConfig) -> None:
    """Print the name of a run: lower-case letters, digits and hyphens, at most 40 of them."""
    print(plan_id(prepare(config, receptive_fields=False)))  # noqa: T201


def plan_id(prepared: Prepared) -> str:
    """Return the same name for the same results under the same root, so that a scheduler can refuse a second job."""
    plan = prepared.plan
    made = (plan.picture_keys, plan.scan_keys, plan.statistics_keys)
    return f"atlas-{fingerprint('run', prepared.config.store.root, prepared.config.sweep.share, made)[:32]}"


def plain_plan(prepared: Prepared, done: Done, cost: Estimate) -> dict[str, object]:
    """Return a plan as plain values; `atlas plan --help` describes them."""
    per_hour = prepared.config.executor.price_per_hour
    return {
        "format": FORMAT,
        "root": prepared.config.store.root,
        "model": prepared.config.model.name,
        "examples": len(prepared.examples),
        "layers": [_plain_layer(layer, made) for layer, made in _layers(prepared, done)],
        "passed_over": dict(prepared.sweep.passed_over),
        "stages": [_plain_stage(stage) for stage in cost.stages],
        "forward_passes": round(cost.forward_passes),
        "bytes_written": cost.bytes_written,
        "price_per_hour": per_hour or None,
        "workers": [
            {
                "workers": count,
                "seconds": cost.seconds(count),
                "price": cost.price(count, per_hour) if per_hour else None,
            }
            for count in WORKERS
        ],
    }


def _plain_layer(layer: LayerPlan, made: int) -> dict[str, object]:
    spec = layer.layer
    return {
        "layer": spec.name,
        "type": spec.type,
        "shape": spec.shape,
        "channels": len(layer.channels),
        "pictures": len(layer.pictures),
        "done": made,
    }


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
    """Yield each layer with the number of its pictures that are there."""
    for layer in prepared.plan.layers:
        yield layer, sum(picture.key in done.optimize for picture in layer.pictures)


def _layer_table(prepared: Prepared, done: Done) -> Table:
    rows = table("layer", "type", "shape", counts=("channels", "pictures", "done"))
    for layer, made in _layers(prepared, done):
        spec = layer.layer
        counts = (len(layer.channels), len(layer.pictures), made)
        rows.add_row(escape(spec.name), spec.type, spec.shape, *(str(count) for count in counts))
    return rows


def _lines(prepared: Prepared, cost: Estimate) -> list[str]:
    config, plan = prepared.config, prepared.plan
    scan, optimize = cost.stages[0], cost.stages[1]
    channels = sum(len(layer.channels) for layer in plan.layers)
    selected = f"{len(plan.layers)} of {len(prepared.facts.layers)} layers, {channels} channels"
    scanned = f"{scan.reused} scanned, {scan.tasks} scan tasks to do"
    to_do = f"{optimize.reused} done, {optimize.total - optimize.reused} to do in {optimize.tasks} tasks"
    passed_over = prepared.sweep.passed_over
    modules = (
        [f"          {len(passed_over)} modules passed over, such as {_first(passed_over)}"] if passed_over else []
    )
    return [
        "",
        f"model     {config.model.name}: {selected}",
        *modules,
        f"dataset   {len(prepared.examples)} examples in {len(plan.spans)} spans; {scanned}",
        f"pictures  {optimize.total}; {to_do}",
        f"root      {config.store.root}",
        "",
    ]


def _first(reasons: Mapping[str, str]) -> str:
    name, reason = next(iter(reasons.items()))
    return f"{name}: {reason}"


def _stage_table(cost: Estimate) -> Table:
    rows = table("stage", counts=("total", "reused", "tasks"))
    for name in ("", "one worker", "longest task", "told by"):
        rows.add_column(name, overflow="fold")
    for stage in cost.stages:
        counts = (f"{count:,}" for count in (stage.total, stage.reused, stage.tasks))
        times = (duration(stage.seconds), duration(stage.longest), stage.source) if stage.tasks else ("", "", "")
        rows.add_row(stage.name, *counts, stage.unit, *times)
    return rows


def _cost_lines(prepared: Prepared, cost: Estimate) -> list[str]:
    per_hour = prepared.config.executor.price_per_hour
    times = [
        f"{count} worker{'s' if count > 1 else ''} {duration(cost.seconds(count))}"
        + (f" ({cost.price(count, per_hour):,.2f})" if per_hour else "")
        for count in WORKERS
    ]
    return [
        "",
        f"work      {cost.forward_passes:,.0f} forward passes of the whole network, {size(cost.bytes_written)} written",
        f"cost      about {', '.join(times)}",
        *([f"          at {per_hour:g} per worker and hour"] if per_hour else []),
    ]
