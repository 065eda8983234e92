"""`atlas sheet`: write a contact sheet of an atlas as a PNG."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from pathlib import Path
from typing import Any

from network_atlas.cli.console import output
from network_atlas.cli.exit_codes import DONE
from network_atlas.cli.roots import root_of
from network_atlas.errors import ConfigError, StoreError, counted, did_you_mean
from network_atlas.layers import calls_meant
from network_atlas.site.contact import contact_sheet
from network_atlas.store.root import Store
from network_atlas.store.shards import read_rows

SMALLEST_PX = 16
COLUMNS = ["model", "layer", "unit", "class_name", "visualizations"]


def command(options: argparse.Namespace) -> int:
    """Write the sheet and print its number of units; return the exit code."""
    if options.units < 1 or options.size < SMALLEST_PX:
        raise ConfigError(
            f"--units={options.units} --size={options.size}: "
            f"give at least one unit, and pictures of {SMALLEST_PX} px or more"
        )
    root = root_of(options.root, command="sheet")
    rows = shown_rows(Store.open(root), root, layers=options.layer or (), units=options.units)
    form = "PDF" if options.output.lower().endswith(".pdf") else "PNG"
    Path(options.output).expanduser().write_bytes(contact_sheet(rows, cell_px=options.size, form=form))
    output().print(f"{options.output}: {counted(len(rows), 'unit')}", markup=False)
    return DONE


def shown_rows(store: Store, root: str, *, layers: Collection[str], units: int) -> list[dict[str, Any]]:
    """Return the atlas rows with pictures: the first `units` rows of each layer, of all layers or of those in `layers`.

    Raises StoreError for a layer that the atlas does not have, and if there are no pictures.
    """
    rows: list[dict[str, Any]] = []
    names = []
    for path in sorted(store.list("atlas")):
        of_layer = read_rows(store, path, columns=COLUMNS)
        names += [str(row["layer"]) for row in of_layer[:1]]
        rows += [row for row in of_layer[:units] if (not layers or row["layer"] in layers) and row["visualizations"]]
    unknown = [name for name in layers if name not in names]
    if unknown:
        meant = calls_meant(unknown[0], names) or did_you_mean(unknown[0], names)
        raise StoreError(f"{root!r} has no layer {unknown[0]!r}.{meant}")
    if not rows:
        raise StoreError(f"{root!r} has no pictures; make an atlas with: atlas run store.root={root}")
    return rows
