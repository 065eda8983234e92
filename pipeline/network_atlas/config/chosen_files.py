"""What the chosen files of `conf/` say together, kept in memory: reading and joining some thirty takes .1 seconds.

The jobs of a grid mostly choose the same files, and differ in values that are set afterwards.
"""

from __future__ import annotations

import os
import pickle
from pathlib import Path

# Private modules: see `config.compose`.
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig

from network_atlas.config.overrides import is_choice

Stamp = tuple[str, int, int]

_pickled: dict[tuple[tuple[str, ...], tuple[Stamp, ...]], bytes] = {}
"""By the choices and the files' paths, sizes and times. Pickled, since `deepcopy` takes twenty times as long."""


def load(lines: list[str], loader: ConfigLoaderImpl) -> DictConfig:
    """Return the configuration with all overrides applied, as Hydra's loader does it: files first, then values."""
    overrides = OverridesParser.create(config_loader=loader).parse_overrides(lines)
    loader.validate_sweep_overrides_legal(overrides, run_mode=RunMode.RUN, from_shell=False)
    choices: list[str] = []
    values: list[Override] = []
    for override in overrides:
        if is_choice(override, loader):
            choices.append(str(override.input_line))
        else:
            values.append(override)
    config = _of_files(choices, loader)
    ConfigLoaderImpl._apply_overrides_to_config(values, config)
    return config


def _of_files(choices: list[str], loader: ConfigLoaderImpl) -> DictConfig:
    folders = [Path(element.path) for element in loader.config_search_path.get_path() if "://" not in element.path]
    key = tuple(choices), tuple(stamp for folder in folders for stamp in _stamps(folder))
    if key not in _pickled:
        config = loader.load_configuration("config", choices, run_mode=RunMode.RUN, from_shell=False)
        _pickled[key] = pickle.dumps(config)
    config = pickle.loads(_pickled[key])  # noqa: S301  # made above
    assert isinstance(config, DictConfig)
    return config


def _stamps(folder: Path) -> list[Stamp]:
    files = [Path(path) / name for path, _, names in os.walk(folder) for name in sorted(names)]
    return [(str(file), status.st_size, status.st_mtime_ns) for file in files for status in [file.stat()]]
