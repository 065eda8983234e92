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
from network_atlas.run.stages import make_atlas


def command(options: argparse.Namespace) -> int:
    """Make the atlas of each configuration; return the exit code."""
    return for_each(configs_of(options), make_and_report)


def make_and_report(config: RunConfig) -> int:
    """Make one atlas, show the progress, and print where the result is; return the exit code."""
    console = messages()
    console.print(f"{config.model.name} -> {config.store.root}", markup=False)
    started = time.monotonic()
    with Progress() as progress:
        result = make_atlas(config, progress)
    for line in outcome(config, result, seconds=time.monotonic() - started):
        output().print(line, markup=False)
    for line in shortfalls(config, result):
        console.print(line, markup=False)
    return INCOMPLETE if result.quarantined else DONE


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
        lines.append(f"{counted(result.unreadable, 'image')} could not be read and {were} left out: {status}")
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
