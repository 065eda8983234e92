"""`atlas layers`: a table of the model's layers, and the modules that can't be captured."""

from __future__ import annotations

import argparse

from rich.markup import escape

from network_atlas.cli.configurations import config_of
from network_atlas.cli.console import output, table
from network_atlas.cli.exit_codes import DONE
from network_atlas.config.paths import with_absolute_paths
from network_atlas.models.facts import model_facts
from network_atlas.models.load import load_model
from network_atlas.plan.refusals import in_short


def command(options: argparse.Namespace) -> int:
    """Print the layers of the configured model; return the exit code."""
    config, console = with_absolute_paths(config_of(options)), output()
    facts = model_facts(load_model(config.model), config.model)
    rows = table("index", "layer", "type", "shape", "in sweep=all", counts=("channels",))
    for layer in facts.layers:
        distinct = f"no: {facts.repeats[layer.name]}" if layer.name in facts.repeats else "yes"
        rows.add_row(
            str(layer.index), escape(layer.name), layer.type, layer.shape, escape(distinct), str(layer.channels)
        )
    console.print(rows)
    if facts.unsupported:
        console.print()
        for line in in_short(facts.unsupported):
            console.print(line, markup=False)
        console.print("\nCan't be captured, one by one:")
        for name, reason in facts.unsupported.items():
            console.print(f"  {name}: {reason}", markup=False)
    return DONE
