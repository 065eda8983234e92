"""What the commands print. Arguments are parsed in `network_atlas.cli.main`; the work is done elsewhere."""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape

from network_atlas.cli.console import duration, messages, output, table
from network_atlas.cli.plan import plan_one, print_id
from network_atlas.cli.progress import Progress
from network_atlas.config.schema import RunConfig
from network_atlas.errors import AtlasError, ConfigError, StoreError, did_you_mean
from network_atlas.models.facts import model_facts
from network_atlas.models.load import load_model
from network_atlas.run.result import Result
from network_atlas.run.stages import make_atlas
from network_atlas.site.contact import contact_sheet
from network_atlas.site.server import serve
from network_atlas.store.paths import Store
from network_atlas.store.shards import read_rows

INCOMPLETE = 3
"""Exit code of a run that published everything but what is in quarantine."""


def run_command(configs: Sequence[RunConfig]) -> int:
    """Make each atlas; say where it is."""
    return _each(configs, _run_one)


def _run_one(config: RunConfig) -> int:
    console = messages()
    console.print(f"{config.model.name} -> {config.store.root}", markup=False)
    started = time.monotonic()
    with Progress() as progress:
        result = make_atlas(config, progress)
    root = config.store.root.rstrip("/")
    if result.unreadable:
        console.print(
            f"{result.unreadable} images could not be read and were left out: atlas status {shlex.quote(root)}",
            markup=False,
        )
    for line in _outcome(config, result, duration(time.monotonic() - started)):
        output().print(line, markup=False)
    if result.quarantined:
        console.print(
            f"{result.quarantined} pictures could not be made and are left out: atlas status {shlex.quote(root)} lists "
            "them; the same command with retry_failed=true tries them again.",
            markup=False,
        )
        return INCOMPLETE
    return 0


def _outcome(config: RunConfig, result: Result, time: str) -> list[str]:
    root, share = config.store.root.rstrip("/"), config.sweep.share
    if result.manifest is None:
        waiting = f"; {result.waiting} wait for what other shares scan" if result.waiting else ""
        return [
            f"Share {share}: {result.pictures} pictures of {result.layers} layers in {time}{waiting}.",
            "Nothing is published yet: when all shares are through, give the same command without sweep.share.",
        ]
    return [
        f"{result.pictures} pictures of {result.layers} layers in {time}, snapshot {result.manifest.number}.",
        f"Tables: {root}/atlas/*.parquet",
        f"Look at it: {_own_name()} view {shlex.quote(root)}",
    ]


def _own_name() -> str:
    """Return what to type for this command: 'atlas', or its path where the shell would not find it."""
    return "atlas" if shutil.which("atlas") or not sys.argv[0].endswith("atlas") else sys.argv[0]


def plan_command(configs: Sequence[RunConfig], *, as_json: bool = False, only_id: bool = False) -> int:
    """Print what each run would make, what exists already, and what the rest would cost; or only its name."""

    def planned(config: RunConfig) -> int:
        if only_id:
            print_id(config)
        else:
            plan_one(config, as_json=as_json)
        return 0

    return _each(configs, planned)


def _each(configs: Sequence[RunConfig], work: Callable[[RunConfig], int]) -> int:
    """Do `work` for each configuration; return the worst exit code. A failed one of several doesn't stop the others."""
    codes, failed = [0], 0
    for config in configs:
        try:
            codes.append(work(config))
        except AtlasError as error:
            if len(configs) == 1:
                raise
            failed += 1
            messages().print(f"atlas: {config.model.name} -> {config.store.root}: {error}", markup=False)
    return 1 if failed else max(codes)


def layers_command(config: RunConfig) -> int:
    """Print the model's layers, and the modules that can't be captured."""
    console = output()
    facts = model_facts(load_model(config.model), config.model)
    rows = table("index", "layer", "type", "shape", counts=("channels",))
    for layer in facts.layers:
        rows.add_row(str(layer.index), escape(layer.name), layer.type, layer.shape, str(layer.channels))
    console.print(rows)
    if facts.unsupported:
        console.print("\nNot to be captured:")
        for name, reason in facts.unsupported.items():
            console.print(f"  {name}: {reason}", markup=False)
    return 0


def view_command(root: str, *, port: int, browser: bool) -> int:
    """Serve an atlas' pages on this machine until interrupted."""
    store = Store.open(root)
    if not store.exists("site/index.html"):
        raise StoreError(f"{root!r} has no pages (site/index.html); make an atlas with: atlas run store.root={root}")
    return serve(store, port=port, browser=browser)


def sheet_command(root: str, *, layers: Sequence[str] | None, units: int, size_px: int, file: str) -> int:
    """Write a contact sheet of an atlas as a PNG."""
    if units < 1 or size_px < 16:
        raise ConfigError(f"--units={units} --size={size_px}: give at least one unit, and pictures of 16 px or more")
    store = Store.open(root)
    rows: list[dict[str, Any]] = []
    names = []
    for path in sorted(store.list("atlas")):
        own = read_rows(store, path, columns=["layer", "unit", "class_name", "visualizations"])
        names += [str(row["layer"]) for row in own[:1]]
        rows += [row for row in own[:units] if (not layers or row["layer"] in layers) and row["visualizations"]]
    unknown = [name for name in layers or () if name not in names]
    if unknown:
        raise StoreError(f"{root!r} has no layer {unknown[0]!r}.{did_you_mean(unknown[0], names)}")
    if not rows:
        raise StoreError(f"{root!r} has no pictures; make an atlas with: atlas run store.root={root}")
    Path(file).write_bytes(contact_sheet(rows, cell_px=size_px))
    output().print(f"{file}: {len(rows)} units", markup=False)
    return 0
