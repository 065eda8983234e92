"""`atlas watch`: run for each new checkpoint, compare with the snapshot before, and tell others."""

from __future__ import annotations

import argparse
from pathlib import Path

from network_atlas.cli.console import messages
from network_atlas.cli.exit_codes import DONE, DRIFTED, FAILED, INCOMPLETE, STOPPED
from network_atlas.config.compose import compose
from network_atlas.config.overrides import sets
from network_atlas.errors import ConfigError
from network_atlas.rerun.children import Codes
from network_atlas.rerun.hooks import Hooks
from network_atlas.rerun.summary import parse_thresholds
from network_atlas.rerun.watch import Options, Watch, watch_for_ever, watch_once
from network_atlas.store.root import Store


def command(options: argparse.Namespace) -> int:
    """Watch until interrupted, or with --once work off what is there; return the exit code."""
    if options.interval <= 0 or options.tries < 1:
        raise ConfigError(
            f"--interval {options.interval:g} --tries {options.tries}: give seconds above 0, and 1 or more"
        )
    parse_thresholds(options.fail_over or ())  # a mistake in them ends the command now, not after the first run
    store = Store.open(_root(options))
    folder = ["--config-dir", options.config_dir] if options.config_dir else []
    watch = Watch(
        pattern=options.pattern,
        overrides=[*options.overrides, *folder],
        store=store,
        options=_options(options, store),
        say=_say,
    )
    if not options.once:
        watch_for_ever(watch, interval_seconds=options.interval, say=_say)
    watch_once(watch, interval_seconds=options.interval)
    return FAILED if watch.failed else DONE


def _root(options: argparse.Namespace) -> str:
    """Return the root of the runs. Raises ConfigError now for overrides that every run would refuse."""
    if any(sets(override, "model.weights") for override in options.overrides):
        raise ConfigError("model.weights is what atlas watch sets for each run, to the checkpoint: leave it out")
    return compose(options.overrides, config_dir=options.config_dir).store.root


def _options(options: argparse.Namespace, store: Store) -> Options:
    beside = f"{store.base}.checkpoints" if store.is_local else f"{store.base.rsplit('/', 1)[-1]}.checkpoints"
    return Options(
        marker=options.marker,
        every=options.every,
        tries=options.tries,
        fail_over=tuple(options.fail_over or ()),
        copies=Path(options.copies or beside).absolute(),
        codes=Codes(done=DONE, incomplete=INCOMPLETE, stopped=STOPPED, drifted=DRIFTED),
        hooks=Hooks(
            success=options.on_success,
            failure=options.on_failure,
            drift=options.on_drift,
            webhook=options.webhook,
        ),
    )


def _say(text: str) -> None:
    messages().print(f"watch: {text}", markup=False)
