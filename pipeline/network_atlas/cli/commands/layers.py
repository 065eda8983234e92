"""`atlas layers`: a table of the model's layers, and the modules that can't be captured."""

from __future__ import annotations

import argparse
from collections import defaultdict

from rich.markup import escape
from rich.table import Table

from network_atlas.cli.configurations import config_of
from network_atlas.cli.console import output, table
from network_atlas.cli.exit_codes import DONE
from network_atlas.config.paths import with_absolute_paths
from network_atlas.errors import counted
from network_atlas.layers import ModelFacts
from network_atlas.models.facts import model_facts
from network_atlas.models.load import load_model
from network_atlas.plan.refusals import in_short


def command(options: argparse.Namespace) -> int:
    """Print the layers of the configured model; return the exit code."""
    config, console = with_absolute_paths(config_of(options)), output()
    facts = model_facts(load_model(config.model), config.model)
    console.print(_all_layers(facts) if options.all else _unit_layers(facts))
    if not options.all and facts.repeats:
        count = counted(len(facts.repeats), "layer")
        console.print(f"\nNot listed: {count} without channels of their own. --all lists them; a select can name them.")
    if facts.unsupported:
        console.print()
        for line in in_short(facts.unsupported):
            console.print(line, markup=False)
        console.print("\nCan't be captured, one by one:")
        for name, reason in facts.unsupported.items():
            console.print(f"  {name}: {reason}", markup=False)
    return DONE


def _unit_layers(facts: ModelFacts) -> Table:
    """Return the layers whose channels are "every channel of every layer", and the layers that each is one with."""
    parts: defaultdict[str, list[str]] = defaultdict(list)
    for name, repeat in facts.repeats.items():
        parts[_origin(repeat.of, facts)].append(name)
    rows = table("index", "layer", "type", "shape", "one layer with", counts=("channels",))
    for layer in facts.layers:
        if layer.name not in facts.repeats:
            whole = escape(", ".join(parts[layer.name]))
            rows.add_row(str(layer.index), escape(layer.name), layer.type, layer.shape, whole, str(layer.channels))
    return rows


def _origin(layer: str, facts: ModelFacts) -> str:
    """Return the layer that makes the channels: that of a repeat of a repeat is the first one's."""
    while layer in facts.repeats and facts.repeats[layer].of:
        layer = facts.repeats[layer].of
    return layer


def _all_layers(facts: ModelFacts) -> Table:
    rows = table("index", "layer", "type", "shape", "in sweep=all", counts=("channels",))
    for layer in facts.layers:
        distinct = f"no: {facts.repeats[layer.name]}" if layer.name in facts.repeats else "yes"
        rows.add_row(
            str(layer.index), escape(layer.name), layer.type, layer.shape, escape(distinct), str(layer.channels)
        )
    return rows
