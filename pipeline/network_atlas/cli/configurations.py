"""Compose the configurations of a command line, and do some work for each of them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from network_atlas.cli.console import messages
from network_atlas.cli.exit_codes import DONE, FAILED
from network_atlas.config.compose import compose, compose_all
from network_atlas.config.schema import RunConfig
from network_atlas.errors import AtlasError


def config_of(options: argparse.Namespace) -> RunConfig:
    """Return the single configuration of a command that takes overrides."""
    return compose(options.overrides, config_dir=options.config_dir)


def configs_of(options: argparse.Namespace) -> list[RunConfig]:
    """Return the configurations of a command: several with --multirun."""
    if options.multirun:
        return compose_all(options.overrides, config_dir=options.config_dir)
    return [config_of(options)]


def for_each(configs: Sequence[RunConfig], work: Callable[[RunConfig], int]) -> int:
    """Do `work` for each configuration; return FAILED if any failed, else the highest exit code.

    After a failure the others are still done.
    """
    if len(configs) == 1:
        return work(configs[0])
    codes = [DONE]
    for config in configs:
        try:
            codes.append(work(config))
        except AtlasError as error:
            messages().print(f"atlas: {config.model.name} -> {config.store.root}: {error}", markup=False)
            codes.append(FAILED)
    return FAILED if FAILED in codes else max(codes)
