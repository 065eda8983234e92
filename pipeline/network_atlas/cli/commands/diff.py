"""`atlas diff`: say what changed between two snapshots, and write it as tables, a summary and pages."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from network_atlas.cli.console import messages, output, print_json, table
from network_atlas.cli.exit_codes import DONE, DRIFTED
from network_atlas.cli.roots import root_of
from network_atlas.errors import StoreError
from network_atlas.rerun.diff import DiffResult, make_diff, record_of
from network_atlas.rerun.sides import Side, named, open_side
from network_atlas.rerun.summary import exceeded, number_text, parse_thresholds
from network_atlas.store.manifest import numbers
from network_atlas.store.paths import diff_folder
from network_atlas.store.root import Store

SHOWN = 20
"""Layers that the command prints, those with the largest drift first."""


def command(options: argparse.Namespace) -> int:
    """Compare, print what changed, and return the exit code: 4 if a threshold is exceeded."""
    thresholds = parse_thresholds(options.fail_over or ())
    old, new = sides(options.old, options.new)
    out = options.out or default_out(old, new)
    with messages().status("comparing") as status:
        result = make_diff(
            old, new, out=out, cross=options.cross, progress=lambda name: status.update(f"comparing {name}")
        )
    over = exceeded(result.summary, thresholds)
    if options.json:
        print_json({**record_of(result, old, new), "thresholds": thresholds, "exceeded": over})
    else:
        _print(result)
    for line in over:
        messages().print(f"--fail-over: {line}", markup=False)
    return DRIFTED if over else DONE


def sides(old: str | None, new: str | None) -> tuple[Side, Side]:
    """Return the two snapshots that are meant; of a single root the named or newest one, and the one before it.

    Raises StoreError if there is none before it.
    """
    if old is not None and new is not None:
        return open_side(old), open_side(new)
    root = root_of(old, command="diff")
    after = open_side(root)
    before = [number for number in numbers(after.store) if number < after.number]
    if not before:
        raise StoreError(
            f"{after.root!r} has no snapshot before {after.number} to compare with. "
            f"Name two roots or snapshots: atlas diff OLD {root}"
        )
    return open_side(f"{named(root)[0]}@{before[-1]}"), after


def default_out(old: Side, new: Side) -> str:
    """Return a folder beside the newer root: 'atlases/resnet50.diff/2-3', or '…/before@1-after@1' of two roots."""
    if old.root == new.root:
        name = f"{old.number}-{new.number}"
    else:
        name = "-".join(
            f"{os.path.basename(side.store.base.rstrip('/')) or 'root'}@{side.number}" for side in (old, new)
        )
    return diff_folder(new.root, name)


def _print(result: DiffResult) -> None:
    console = output()
    for sentence in result.sentences:
        console.print(sentence, markup=False)
    rows = [row for row in result.layers if row["state"] != "reused"]
    if rows:
        console.print(_table(sorted(rows, key=lambda row: -(row["drift"] or 0.0))[:SHOWN]))
    if len(rows) > SHOWN:
        console.print(f"and {len(rows) - SHOWN:,} more in layers.parquet", markup=False)
    page = os.path.join(Store.open(result.out).root, "index.html")
    console.print(f"Pages: {page}", markup=False)


def _table(rows: Sequence[dict[str, object]]) -> object:
    counts = ("drift", "alignment", "channels", "changed", "moved", "died")
    shown = table("layer", counts=counts, words=("state", "numbers"))
    for row in rows:
        values = (row[name] for name in ("drift", "alignment", "channels_new", "changed", "moved", "died"))
        numbers = [number_text(value if isinstance(value, int | float) else None) for value in values]
        shown.add_row(str(row["layer"]), *numbers, str(row["state"]).replace("_", " "), str(row["identity"] or "–"))
    return shown
