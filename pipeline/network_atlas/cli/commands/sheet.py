"""`atlas sheet`: write a contact sheet of an atlas as a PNG or a PDF."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from pathlib import Path
from typing import Any

from network_atlas.analysis.atlas import Atlas, open_atlas
from network_atlas.analysis.stored_pictures import StoredPictures
from network_atlas.cli.console import output
from network_atlas.cli.exit_codes import DONE
from network_atlas.cli.roots import root_of
from network_atlas.errors import ConfigError, StoreError, counted, did_you_mean
from network_atlas.layers import calls_meant
from network_atlas.site.contact import contact_sheet
from network_atlas.store.paths import atlas_directory
from network_atlas.store.shards import read_first_rows

SMALLEST_PX = 16
FORMS = {".png": "PNG", ".pdf": "PDF"}
"""What a sheet is written as, by the ending of its name."""
COLUMNS = ["model", "layer", "unit", "class_name", "visualizations"]


def command(options: argparse.Namespace) -> int:
    """Write the sheet and print its number of units; return the exit code."""
    if options.units < 1 or options.size < SMALLEST_PX:
        raise ConfigError(
            f"--units={options.units} --size={options.size}: "
            f"give at least one unit, and pictures of {SMALLEST_PX} px or more"
        )
    form = FORMS.get(Path(options.output).suffix.lower())
    if form is None:
        raise ConfigError(
            f"--output={options.output}: a sheet is a PNG or a PDF; give a name that ends in {' or '.join(FORMS)}"
        )
    root = root_of(options.root, command="sheet")
    rows = shown_rows(open_atlas(root, options.snapshot), layers=options.layer or (), units=options.units)
    Path(options.output).expanduser().write_bytes(contact_sheet(rows, cell_px=options.size, form=form))
    output().print(f"{options.output}: {counted(len(rows), 'unit')}", markup=False)
    return DONE


def shown_rows(atlas: Atlas, *, layers: Collection[str], units: int) -> list[dict[str, Any]]:
    """Return the atlas rows with pictures: the first `units` rows of each layer, of all layers or of those in `layers`.

    Raises StoreError for a layer that the atlas does not have, and if there are no pictures.
    """
    root, names = atlas.root, atlas.layers
    rows: list[dict[str, Any]] = []
    for spec in atlas.specs:
        if not layers or spec.name in layers:
            (table,) = atlas.manifest.under(atlas_directory(spec))
            first = read_first_rows(atlas.store, table.path, units, columns=COLUMNS)
            pictures = StoredPictures.of(atlas.store, atlas.manifest, spec)
            rows += pictures.filled(row for row in first if row["visualizations"])
    unknown = [name for name in layers if name not in names]
    if unknown:
        meant = calls_meant(unknown[0], names) or did_you_mean(unknown[0], names)
        raise StoreError(f"{root!r} has no layer {unknown[0]!r}.{meant}")
    if not rows:
        raise StoreError(f"{root!r} has no pictures; make an atlas with: atlas run store.root={root}")
    return rows
