"""From YAML and overrides to a checked `RunConfig`. Only this module and `overrides` know Hydra.

    compose(["model=torchvision", "model.name=resnet50", "sweep=all"])   # one run
    compose_all(["optimize.steps=64,128"])                              # a grid of runs, each with its own root

Composing writes no file, does not change the directory and leaves Hydra's global state as it was. `${now:}` and
`${hydra:}` do not resolve, since a command must mean the same tomorrow. All mistakes are listed in one ConfigError.

Overrides follow Hydra's grammar with two exceptions. Most text needs no quotes (see `config.overrides`). And a setting
that has its default in the schema, not in the YAML, can be set without Hydra's `+`; the schema still refuses unknown
settings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from hydra import version

# Private modules: the public `hydra.compose` needs Hydra's global state.
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import create_config_search_path
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError, OmegaConfBaseException
from pydantic import TypeAdapter, ValidationError
from yaml import YAMLError  # type: ignore[import-untyped]

from network_atlas.config import chosen_files
from network_atlas.config.explain import explain, missing
from network_atlas.config.foreign_words import words
from network_atlas.config.overrides import (
    is_choice,
    no_such_choice,
    options,
    parse,
    refuse_early,
    refuse_unlisted,
    whole_list,
)
from network_atlas.config.plain import flatten, folder_name
from network_atlas.config.schema import RunConfig
from network_atlas.errors import ConfigError, did_you_mean

VERSION_BASE = "1.3"
MISSING = "???"
FOREIGN = (HydraException, OmegaConfBaseException, YAMLError, ValueError, TypeError, LookupError, OSError)


def compose(overrides: Sequence[str], *, config_dir: str | None = None) -> RunConfig:
    """Return the configuration that `conf/` and the overrides describe.

    `config_dir` is a folder laid out like `conf/`. Its files come before the package's own of the same name.
    """
    loader = _loader(config_dir)
    parsed = parse(overrides, loader)
    refuse_early(parsed, loader)
    lines = [_forced(override, loader) for override in parsed]
    return _checked(_load(lines, loader))


def expand(overrides: Sequence[str], *, config_dir: str | None = None) -> list[list[str]]:
    """Return the overrides of each job of a grid: `a=1,2`, `a=range(1,4)` and `model=glob(*)` have several values."""
    loader = _loader(config_dir)
    parsed = parse(overrides, loader)
    with _translated(loader):
        refuse_unlisted(parsed)
        jobs = BasicSweeper.split_arguments(parsed, max_batch_size=None)[0]
    # Hydra rewrites '~key' as '~key=null', which then matches nothing.
    fixed = {f"{item.get_key_element()}={_value_text(item)}": str(item.input_line) for item in parsed}
    return [[fixed.get(line, line) for line in job] for job in jobs]


def compose_all(overrides: Sequence[str], *, config_dir: str | None = None) -> list[RunConfig]:
    """Return the configuration of each job of a grid. Jobs that would share a root each get a folder below it.

    The folder's name has only the swept overrides ('model.name=resnet18,seed=3'), so it stays when the grid grows.
    """
    jobs = expand(overrides, config_dir=config_dir)
    runs = [compose(job, config_dir=config_dir) for job in jobs]
    roots = [run.store.root.rstrip("/") for run in runs]
    swept = {item.get_key_element() for item in parse(overrides, _loader(config_dir)) if item.is_sweep_override()}
    names = [folder_name(line for line in job if line.partition("=")[0] in swept) for job in jobs]
    job_roots = [f"{root}/{name}" if roots.count(root) > 1 else root for root, name in zip(roots, names, strict=True)]
    repeated = sorted({root for root in job_roots if job_roots.count(root) > 1})
    if repeated:
        raise ConfigError(f"two jobs would write to the same root {repeated[0]!r}: remove the repeated value")
    return [
        run if len(runs) == 1 else replace(run, store=replace(run.store, root=root))
        for run, root in zip(runs, job_roots, strict=True)
    ]


def config_folder() -> Path:
    """Return the folder of the package's own YAML: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    folders = [
        folder for folder in (package / "conf", package.parents[1] / "conf") if (folder / "config.yaml").is_file()
    ]
    if not folders:
        raise ConfigError(
            f"no conf/config.yaml in {package} or beside it: the installation is incomplete; install the package again"
        )
    return folders[0]


def _loader(config_dir: str | None) -> ConfigLoaderImpl:
    """Return Hydra's loader alone, without its global state, which the calling program may use itself.

    The user's folder is put first in the search path. `hydra.searchpath` would put it last: its files could then never
    replace the package's own.
    """
    version.setbase(VERSION_BASE)
    search_path = create_config_search_path(str(config_folder()))
    if config_dir is not None:
        folder = Path(config_dir).expanduser().resolve()
        if not folder.is_dir():
            raise ConfigError(f"the configuration folder {config_dir!r} is not a folder; give one laid out like conf/")
        search_path.prepend(provider="user", path=str(folder), anchor="main")
    return ConfigLoaderImpl(config_search_path=search_path)


def _load(lines: list[str], loader: ConfigLoaderImpl) -> DictConfig:
    with _translated(loader):
        try:
            return chosen_files.load(lines, loader)
        except HydraException as error:
            if isinstance(error.__cause__, IndexError):  # Hydra names neither the list nor its length
                raise ConfigError(_beyond(error, lines, loader)) from error
            raise


def _beyond(error: HydraException, lines: list[str], loader: ConfigLoaderImpl) -> str:
    """Return the message for an override of an item beyond the end of a list, with the list's number of items."""
    line = str(error).splitlines()[0].removeprefix("Error merging override ")
    if line not in lines:
        return words(error)
    position = lines.index(line)
    before = _load(lines[:position] + [line for line in lines[position + 1 :] if not line.startswith("+")], loader)
    line = line.lstrip("+")
    parts = line.partition("=")[0].split(".")
    for depth in range(1, len(parts)):
        path = ".".join(parts[:depth])
        items = OmegaConf.select(before, path)
        if isinstance(items, ListConfig) and int(parts[depth]) >= len(items):
            has = (
                ["no items", "1 item, 0"][len(items)] if len(items) < 2 else f"{len(items)} items, 0..{len(items) - 1}"
            )
            return f"{line}: {path} has {has}; {whole_list(path)}"
    return words(error)


def _value_text(override: Override) -> str:
    return "" if override.is_sweep_override() else override.get_value_element_as_str()


def _forced(override: Override, loader: ConfigLoaderImpl) -> str:
    """Return the override's text, with Hydra's '++' if it sets a value: our schema decides which keys exist."""
    line = str(override.input_line)
    if override.type is not OverrideType.CHANGE or override.package is not None:
        return line
    return line if is_choice(override, loader) else f"++{line}"


def _checked(config: DictConfig) -> RunConfig:
    """Return the composed configuration as a RunConfig, or raise ConfigError with all its problems."""
    OmegaConf.set_struct(config, False)  # else 'hydra' could not be removed
    config.pop("hydra", None)
    blank = [path for path, value in flatten(_container(config, resolve=False)).items() if value == MISSING]
    for path in blank:
        OmegaConf.update(config, path, "-")  # a stand-in, so that the rest can be checked too
    values = _resolved(config)
    problems = [missing(path, values) for path in blank]
    try:
        run = _adapter().validate_python(values)
    except ValidationError as error:
        problems += explain(map(dict, error.errors(include_url=False)), values, RunConfig)
        raise ConfigError("\n".join(problems)) from error
    if problems:
        raise ConfigError("\n".join(problems))
    return run


@cache
def _adapter() -> TypeAdapter[RunConfig]:
    return TypeAdapter(RunConfig)


def _resolved(config: DictConfig) -> dict[str, Any]:
    try:
        return _container(config, resolve=True)
    except OmegaConfBaseException as error:
        path = re.sub(r"\[(\d+)\]", r".\1", getattr(error, "full_key", None) or "the configuration")
        settings = flatten(_container(config, resolve=False))
        names = (
            re.findall(r"Interpolation key '([^']*)'", str(error)) if isinstance(error, InterpolationKeyError) else []
        )
        guess = did_you_mean(names[0], settings) if names else ""
        raise ConfigError(f"{path}: cannot be resolved: {words(error)}.{guess}") from error


def _container(config: DictConfig, *, resolve: bool) -> dict[str, Any]:
    plain = OmegaConf.to_container(config, resolve=resolve, throw_on_missing=resolve)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


@contextmanager
def _translated(loader: ConfigLoaderImpl) -> Iterator[None]:
    try:
        yield
    except MissingConfigException as error:
        file = str(error.missing_cfg_file)
        group = file
        while group and not options(loader, group):
            group = group.rpartition("/")[0]
        group = group.rstrip("/")  # an absolute path as a choice gives 'dataset//path'
        raise ConfigError(no_such_choice(group, file.removeprefix(f"{group}/"), loader)) from error
    except FOREIGN as error:
        raise ConfigError(words(error)) from error
