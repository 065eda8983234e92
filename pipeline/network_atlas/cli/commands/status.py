"""`atlas status`: show how far an atlas is, as a table for people or one JSON object for programs."""

from __future__ import annotations

import argparse
import gc
import time
from dataclasses import asdict
from datetime import UTC, datetime

from network_atlas.cli.amounts import duration, rate, unit_of
from network_atlas.cli.commands.one_snapshot import fault_lines, plain_snapshot, provenance_lines
from network_atlas.cli.console import output, print_json, table
from network_atlas.cli.exit_codes import DONE, FAILED
from network_atlas.cli.roots import root_of
from network_atlas.errors import counted
from network_atlas.run.status import Holder, StageStatus, Status, read_status
from network_atlas.store.lease import is_gone
from network_atlas.store.manifest import read_manifest
from network_atlas.store.root import Store
from network_atlas.store.verify import faults

FORMAT = 1
"""Version of the JSON object. Fields may be added; none is renamed or gets another meaning."""


def command(options: argparse.Namespace) -> int:
    """Print how far the atlas is, or how a snapshot was made; return the exit code."""
    root = root_of(options.root, command="status")
    store = Store.open(root)
    manifest = read_manifest(store, options.snapshot) if options.snapshot is not None or options.verify else None
    damaged = list(faults(store, manifest.files)) if manifest and options.verify else None
    if options.snapshot is not None and manifest is not None:
        shown: dict[str, object] = {"format": FORMAT, "root": root, "snapshot": plain_snapshot(manifest)}
        lines = provenance_lines(manifest)
    else:
        status, now = _status(root), time.time()
        shown, lines = plain_status(status, now), []
        if not options.json:
            _print(status, now)
    if manifest is not None and damaged is not None:
        shown["faults"] = [asdict(fault) for fault in damaged]
        lines += fault_lines(manifest, damaged)
    if options.json:
        print_json(shown)
    else:
        for line in lines:
            output().print(line, markup=False)
    return FAILED if damaged else DONE


def _status(root: str) -> Status:
    # A hundred thousand receipts are a million objects without a cycle; to search them for cycles doubles the time.
    gc.disable()
    try:
        return read_status(root)
    finally:
        gc.enable()


def plain_status(status: Status, now: float) -> dict[str, object]:
    """Return a status as plain values; `atlas status --help` describes them."""
    return {
        "format": FORMAT,
        "root": status.root,
        "model": status.model,
        "dataset": status.dataset,
        "examples": status.examples,
        "stages": [_plain_stage(stage) for stage in status.stages],
        "holder": _plain_holder(status.holders[0], now) if status.holders else None,
        "holders": [_plain_holder(holder, now) for holder in status.holders],
        "unreadable": [{"example_id": name, "reason": reason} for name, reason in status.unreadable],
        "snapshot": {"number": status.snapshot, "created": status.created} if status.snapshot else None,
    }


def _plain_stage(stage: StageStatus) -> dict[str, object]:
    return {
        "name": stage.name,
        "unit": stage.unit,
        "done": stage.done,
        "total": stage.total,
        "failures": list(stage.failures),
        "per_second": stage.per_second,
        "seconds_left": stage.seconds_left,
        "last_activity": _iso(stage.last) if stage.last else None,
    }


def _plain_holder(holder: Holder, now: float) -> dict[str, object]:
    return {
        "host": holder.host,
        "pid": holder.pid,
        "run": holder.run,
        "since": _iso(holder.since),
        "heartbeat": _iso(holder.heartbeat),
        "alive": _is_alive(holder),
    }


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _is_alive(holder: Holder) -> bool:
    return not is_gone(asdict(holder))


def _print(status: Status, now: float) -> None:
    console = output()
    console.print(f"{status.model} on {status.dataset} ({counted(status.examples, 'example')})", markup=False)
    rows = table("stage", counts=("done", "total", "failed"), words=("", "rate", "left", "last"))
    for stage in status.stages:
        rows.add_row(*_cells(stage, now))
    console.print(rows)
    for stage in status.stages:
        for failure in stage.failures:
            console.print(f"failed: {stage.name} {failure}", markup=False)
    for _, reason in status.unreadable:
        console.print(f"unreadable: {reason}", markup=False)
    for holder in status.holders or (None,):
        console.print(_holder_line(holder, now), markup=False)
    snapshot = f"snapshot {status.snapshot}, {status.created}" if status.snapshot else "no snapshot published yet"
    console.print(f"{snapshot}; {_how_far(status)}", markup=False)


def _how_far(status: Status) -> str:
    """Return whether the last run's plan is done, in words."""
    left = sum(max(0, stage.total - stage.done) for stage in status.stages)
    failed = sum(len(stage.failures) for stage in status.stages)
    if any(_is_alive(holder) for holder in status.holders):
        return "not finished"
    if status.snapshot and not left:
        return "finished"
    if left and left == failed:
        return f"finished but for {counted(failed, 'failure')}: retry_failed=true tries again"
    return "not finished: the same command goes on"


def _cells(stage: StageStatus, now: float) -> tuple[str, ...]:
    left = stage.seconds_left
    return (
        stage.name,
        f"{stage.done:,}",
        f"{stage.total:,}",
        f"{len(stage.failures):,}",
        unit_of(stage.total, stage.unit),
        rate(stage.per_second) if stage.per_second else "",
        duration(left) if left else "",
        f"{duration(max(0.0, now - stage.last))} ago" if stage.last else "",
    )


def _holder_line(holder: Holder | None, now: float) -> str:
    if holder is None:
        return "nobody is working on it"
    who = f"process {holder.pid} on {holder.host} (run {holder.run})"
    heard = f"last heard of {duration(max(0.0, now - holder.heartbeat))} ago"
    if _is_alive(holder):
        return f"{who} has been working on it for {duration(max(0.0, now - holder.since))}, {heard}"
    return f"{who} worked on it and ended without notice, {heard}; a new run resumes from there"
