"""Answer a run that has nothing to do without loading the network.

    watching = Watching(config)
    if (result := watching.answer()) is None:
        result = make_atlas(config, progress)
        watching.keep(result)

A complete run of a local root leaves a record (`plan/unchanged.json`) of everything that it was derived from: settings,
environment, the files that were read while the run was prepared (code, weights), the listing of the dataset, and every
file in the root. The next run compares. If all of it is the same, so is the result. If anything differs, even what
would not matter, or if there is no record, the network is loaded and hashed.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

import network_atlas
from network_atlas.config.paths import with_absolute_paths
from network_atlas.config.plain import to_plain
from network_atlas.config.schema import RunConfig
from network_atlas.dataset import Example, open_source
from network_atlas.errors import AtlasError
from network_atlas.fingerprints import fingerprint
from network_atlas.run.read_files import UNSEEN, are_unchanged, files_below, importable, stamp, watch_reading
from network_atlas.run.result import Result
from network_atlas.store.manifest import latest
from network_atlas.store.root import Store

RECORD = "plan/unchanged.json"
KEYS = {"identity", "dataset", "root", "result", "files"}
TRANSIENT = ("logs",)
"""Folders of a root from which no result is made."""
OTHER_NAMES = frozenset(
    [
        *("_", "COLUMNS", "LINES", "OLDPWD", "SHLVL", "STY", "TERM", "WINDOW", "WINDOWID"),
        *("INVOCATION_ID", "JOURNAL_STREAM", "MEMORY_PRESSURE_WATCH", "XDG_SEAT", "XDG_VTNR"),
    ]
)
OTHER_PREFIXES = ("DBUS_", "SLURM_", "SSH_", "SYSTEMD_", "TERM_", "TMUX", "XDG_SESSION_")
"""Variables that change with every terminal or job."""


class Watching:
    """One configuration, compared with the record of the last complete run; sees what this run reads."""

    def __init__(self, config: RunConfig) -> None:
        """Stamp what is read from now on; `config` is as it was composed."""
        self._config = with_absolute_paths(config)
        self._files = watch_reading()
        for path in (self._config.model.weights, self._config.model.classes):
            if (known := stamp(path)) is not None:  # some libraries open them unseen
                self._files[os.path.abspath(path)] = known
        self._identity = _identity(self._config)

    def answer(self) -> Result | None:
        """Return the result of the last complete run if nothing has changed since; else None."""
        config = self._config
        if not _can_be_answered(config):
            return None
        store = Store.open(config.store.root)
        record = _read(store)
        if record is None or record["identity"] != self._identity or not are_unchanged(record["files"]):
            return None
        if record["root"] != _root(store):
            return None
        try:
            listing = open_source(config.dataset).listing()
        except AtlasError:  # a run that loads the network reports it, with all else that may be wrong
            return None
        if record["dataset"] != _dataset(listing.examples):
            return None
        return Result(manifest=latest(store), quarantined=0, **record["result"])

    def keep(self, result: Result) -> None:
        """Write the record of a complete run, unless something has changed meanwhile."""
        config, root = self._config, os.path.join(os.path.abspath(self._config.store.root), "")
        if not _can_be_answered(config) or result.manifest is None or result.quarantined or result.waiting:
            return
        if config.model.source == "function" and any(name in sys.modules for name in UNSEEN):
            return
        files = {path: known for path, known in self._files.items() if not path.startswith(root)}
        if not are_unchanged(files):
            return
        store = Store.open(config.store.root)
        record = {
            "identity": self._identity,
            "dataset": _dataset(result.examples),
            "root": _root(store),
            "result": {"layers": result.layers, "pictures": result.pictures, "unreadable": result.unreadable},
            "files": files,
        }
        store.write(RECORD, json.dumps(record).encode())


def _can_be_answered(config: RunConfig) -> bool:
    """Say whether stamps cover everything: a local root, and a dataset that can be listed without torch."""
    local = "://" not in config.store.root and config.dataset.source != "torchvision"
    return local and not config.sweep.share and not config.retry_failed


def _identity(config: RunConfig) -> str:
    """Return a hash of what a run's plan is derived from besides files: settings, Python, machine, environment."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in OTHER_NAMES and not name.startswith(OTHER_PREFIXES)
    }
    return fingerprint(
        network_atlas.__version__,
        to_plain(config),
        environment,
        [sys.version, sys.executable, platform.node(), os.getcwd()],
        importable(sys.path, but=config.store.root),  # a first run makes its root, often below the working folder
    )


def _dataset(examples: tuple[Example, ...]) -> str:
    return fingerprint([(example.example_id, example.label, example.version) for example in examples])


def _root(store: Store) -> str:
    """Return a hash of the names and stamps of all files in the root but this record and logs."""
    record = str(Path(RECORD))
    files = files_below(store.base, without=TRANSIENT)
    return fingerprint([file for file in files if file[0] != record])


def _read(store: Store) -> dict[str, Any] | None:
    """Return the record; None if there is none, or if it is damaged, which the next complete run repairs."""
    data = store.read_if_there(RECORD)
    try:
        record = json.loads(data) if data else {}
    except ValueError:
        return None
    return record if record.keys() == KEYS else None
