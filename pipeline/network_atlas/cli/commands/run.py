"""`atlas run`: make each atlas, and print where it is."""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
import time

from network_atlas.cli.amounts import duration
from network_atlas.cli.configurations import configs_of, for_each
from network_atlas.cli.console import messages, output
from network_atlas.cli.exit_codes import DONE, INCOMPLETE
from network_atlas.cli.progress import Progress
from network_atlas.config.schema import RunConfig
from network_atlas.errors import counted
from network_atlas.run.result import Result
from network_atlas.run.unchanged import Watching


def command(options: argparse.Namespace) -> int:
    """Make the atlas of each configuration; return the exit code."""
    configs = configs_of(options)
    # Of several, the files that each one reads can't be told apart.
    return for_each(configs, _unless_unchanged if len(configs) == 1 else make_and_report)


def _unless_unchanged(config: RunConfig) -> int:
    """Make one atlas, or say that nothing has changed since it was made; return the exit code."""
    started, watching = time.monotonic(), Watching(config)
    result = watching.answer()
    if result is None:
        return make_and_report(config, watching)
    messages().print(f"{config.model.name} -> {config.store.root}: nothing has changed", markup=False)
    _report(config, result, started)
    return DONE


def make_and_report(config: RunConfig, watching: Watching | None = None) -> int:
    """Make one atlas, show the progress, and print where the result is; return the exit code."""
    from network_atlas.run.stages import make_atlas  # imported late, since it loads torch

    messages().print(f"{config.model.name} -> {config.store.root}", markup=False)
    started = time.monotonic()
    with Progress() as progress:
        result = make_atlas(config, progress)
    if watching is not None:
        watching.keep(result)
    _report(config, result, started)
    return INCOMPLETE if result.quarantined else DONE


def _report(config: RunConfig, result: Result, started: float) -> None:
    for line in outcome(config, result, seconds=time.monotonic() - started):
        output().print(line, markup=False)
    for line in shortfalls(config, result):
        messages().print(line, markup=False)


def outcome(config: RunConfig, result: Result, *, seconds: float) -> list[str]:
    """Return the lines that count the results and say where they are."""
    root = config.store.root.rstrip("/")
    pictures = f"{counted(result.pictures, 'picture')} of {counted(result.layers, 'layer')} in {duration(seconds)}"
    if result.manifest is None:
        waiting = f"; {counted(result.waiting, 'picture')} waiting for scans of other shares" if result.waiting else ""
        return [
            f"Share {config.sweep.share}: {pictures}{waiting}.",
            "Nothing is published yet: when all shares are done, give the same command without sweep.share.",
        ]
    return [
        f"{pictures}, snapshot {result.manifest.number}.",
        f"Tables: {root}/atlas/*.parquet",
        f"Look at it: {_program()} view {shlex.quote(root)}",
    ]


def shortfalls(config: RunConfig, result: Result) -> list[str]:
    """Return the lines that count missing images and pictures; none for a complete atlas."""
    status = f"atlas status {shlex.quote(config.store.root.rstrip('/'))}"
    lines = []
    if result.unreadable:
        were = "was" if result.unreadable == 1 else "were"
        unread = counted(result.unreadable, config.dataset.example)
        lines.append(f"{unread} could not be read and {were} left out: {status}")
    if result.quarantined:
        are = "is" if result.quarantined == 1 else "are"
        lines.append(
            f"{counted(result.quarantined, 'picture')} could not be made and {are} left out; listed by: {status}. "
            "The same command with retry_failed=true tries again."
        )
    return lines


def _program() -> str:
    """Return the command for this program: 'atlas', or its path if the shell would not find it."""
    return "atlas" if shutil.which("atlas") or not sys.argv[0].endswith("atlas") else sys.argv[0]
