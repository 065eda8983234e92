"""From YAML and overrides to a checked `RunConfig`. Beside the command line, only this module knows Hydra.

    compose(["model=torchvision", "model.name=resnet50", "sweep=all"])   # one run
    compose_all(["optimize.steps=64,128"])                              # a grid of runs, each with its own root

Composing writes no file, changes no directory and leaves no Hydra behind; `${now:}` and `${hydra:}` do not resolve,
since a run must mean the same tomorrow. Every mistake raises ConfigError, whose message lists all that was found.

Overrides follow Hydra's grammar, with one relief: a setting that the YAML leaves to its default in the schema can be
set without Hydra's `+`. Unknown settings are refused all the same, by the schema.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any

from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import create_config_search_path
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError, OmegaConfBaseException
from pydantic import TypeAdapter, ValidationError
from yaml import YAMLError  # type: ignore[import-untyped]

from pipeline.config.explain import explain, missing
from pipeline.config.plain import flatten, folder_name
from pipeline.config.schema import RunConfig
from pipeline.errors import ConfigError, did_you_mean

VERSION_BASE = "1.3"
MISSING = "???"
GRAMMAR = (
    "Write key=value, for example optimize.steps=64 or model=torchvision; put what has brackets, commas or spaces "
    "in quotes: 'sweep.select.0.include=[\"layer3.*\"]'."
)
SEVERAL = "names several values: add -m to run them all, or put them in quotes to mean one text"
ROOTS = frozenset(field.name for field in fields(RunConfig))
FOREIGN = (HydraException, OmegaConfBaseException, YAMLError, ValueError, OSError)


def compose(overrides: Sequence[str], *, config_dir: str | None = None) -> RunConfig:
    """Return the run that `conf/` and the overrides describe.

    Files in `config_dir`, a folder laid out like `conf/`, add to the package's own and win over those of the same name.
    """
    loader = _loader(config_dir)
    parsed = _parse(overrides, loader)
    _refuse_early(parsed, loader)
    lines = [_forced(override, loader) for override in parsed]
    with _translated(loader):
        config = loader.load_configuration("config", lines, run_mode=RunMode.RUN, from_shell=False)
    return _checked(config)


def expand(overrides: Sequence[str], *, config_dir: str | None = None) -> list[list[str]]:
    """Return the overrides of each job of a grid: `a=1,2`, `a=range(1,4)` and `model=glob(*)` name several values."""
    loader = _loader(config_dir)
    parsed = _parse(overrides, loader)
    empty = [str(item.input_line) for item in parsed if item.is_sweep_override() and not _values(item)]
    if empty:
        raise ConfigError(f"{', '.join(empty)} names nothing: no choice matches, or the range is empty")
    with _translated(loader):
        jobs = BasicSweeper.split_arguments(parsed, max_batch_size=None)[0]
    # Hydra rewrites '~key' as '~key=null', which then matches nothing.
    fixed = {f"{item.get_key_element()}={_value_text(item)}": str(item.input_line) for item in parsed}
    return [[fixed.get(line, line) for line in job] for job in jobs]


def compose_all(overrides: Sequence[str], *, config_dir: str | None = None) -> list[RunConfig]:
    """Return the run of each job of a grid. Where two jobs would share a root, each gets a folder of its own below it.

    The folder is named by the swept overrides alone ('model.name=resnet18,seed=3'), so it stays when the grid grows.
    """
    jobs = expand(overrides, config_dir=config_dir)
    runs = [compose(job, config_dir=config_dir) for job in jobs]
    roots = [run.store.root.rstrip("/") for run in runs]
    swept = {item.get_key_element() for item in _parse(overrides, _loader(config_dir)) if item.is_sweep_override()}
    names = [folder_name(line for line in job if line.partition("=")[0] in swept) for job in jobs]
    own = [f"{root}/{name}" if roots.count(root) > 1 else root for root, name in zip(roots, names, strict=True)]
    twice = sorted({root for root in own if own.count(root) > 1})
    if twice:
        raise ConfigError(f"two jobs would write to the same root {twice[0]!r}: a swept value is given twice")
    return [
        run if len(runs) == 1 else replace(run, store=replace(run.store, root=root))
        for run, root in zip(runs, own, strict=True)
    ]


def config_folder() -> Path:
    """Return the folder of the package's own YAML: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    found = [folder for folder in (package / "conf", package.parent / "conf") if (folder / "config.yaml").is_file()]
    if not found:
        raise ConfigError(
            f"no conf/config.yaml in {package} or beside it: the installation is incomplete, install again"
        )
    return found[0]


def _loader(config_dir: str | None) -> ConfigLoaderImpl:
    """Return Hydra's loader by itself: Hydra's global state, which an embedding program may use, stays as it is.

    `hydra.searchpath` would append the user's folder, so that it could add files but never win.
    """
    version.setbase(VERSION_BASE)
    search_path = create_config_search_path(str(config_folder()))
    if config_dir is not None:
        folder = Path(config_dir).expanduser().resolve()
        if not folder.is_dir():
            raise ConfigError(f"the configuration folder {config_dir!r} is not a folder; give one laid out like conf/")
        search_path.prepend(provider="user", path=str(folder), anchor="main")
    return ConfigLoaderImpl(config_search_path=search_path)


def _parse(overrides: Sequence[str], loader: ConfigLoaderImpl) -> list[Override]:
    parser = OverridesParser.create(config_loader=loader)
    parsed: list[Override] = []
    problems: list[str] = []
    cause: Exception | None = None
    for line in overrides:
        try:
            parsed += parser.parse_overrides([line])
        except HydraException as error:
            cause = error
            problems.append(f"cannot read the override {line!r}: {_words(error)}. {GRAMMAR}")
    if problems:
        raise ConfigError("\n".join(problems)) from cause
    return parsed


def _refuse_early(parsed: Iterable[Override], loader: ConfigLoaderImpl) -> None:
    """Raise for overrides whose mistake Hydra would report without naming them."""
    problems = []
    for override in parsed:
        key, line = override.key_or_group, str(override.input_line)
        if not key:
            problems.append(f"the override {line!r} has no key. {GRAMMAR}")
        elif override.is_sweep_override():
            problems.append(f"{line} {SEVERAL}")
        elif override.is_add() and key in ROOTS and _options(loader, key):
            problems.append(f"{line}: {key} has a choice already; write {line.removeprefix('+')}, without the '+'")
        elif _options(loader, key) and not override.is_delete() and not isinstance(override.value(), str | list | dict):
            problems.append(f"{line}: name a choice of {key}: {', '.join(_options(loader, key))}")
    if problems:
        raise ConfigError("\n".join(problems))


def _values(override: Override) -> list[str]:
    """Return what a sweep override names; an interval names no value, which Hydra is left to say."""
    return list(override.sweep_string_iterator()) if override.is_discrete_sweep() else ["interval"]


def _value_text(override: Override) -> str:
    return "" if override.is_sweep_override() else override.get_value_element_as_str()


def _forced(override: Override, loader: ConfigLoaderImpl) -> str:
    """Return the override's text; one that sets a value gets Hydra's '++', since our schema says which keys exist."""
    line = str(override.input_line)
    if override.type is not OverrideType.CHANGE or override.package is not None:
        return line
    is_choice = bool(_options(loader, override.key_or_group)) and not isinstance(override.value(), dict)
    return line if is_choice else f"++{line}"


def _options(loader: ConfigLoaderImpl, group: str) -> list[str]:
    return sorted(set(loader.get_group_options(group)))


def _checked(config: DictConfig) -> RunConfig:
    """Return the composed configuration as a RunConfig, or raise with every problem there is."""
    OmegaConf.set_struct(config, False)
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
        place = getattr(error, "full_key", None) or "the configuration"
        known = flatten(_container(config, resolve=False))
        names = (
            re.findall(r"Interpolation key '([^']*)'", str(error)) if isinstance(error, InterpolationKeyError) else []
        )
        guess = did_you_mean(names[0], known) if names else ""
        raise ConfigError(f"{place}: cannot be resolved: {_words(error)}.{guess}") from error


def _container(config: DictConfig, *, resolve: bool) -> dict[str, Any]:
    plain = OmegaConf.to_container(config, resolve=resolve, throw_on_missing=resolve)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


@contextmanager
def _translated(loader: ConfigLoaderImpl) -> Iterator[None]:
    try:
        yield
    except MissingConfigException as error:
        wanted = str(error.missing_cfg_file)
        group = wanted
        while group and not _options(loader, group):
            group = group.rpartition("/")[0]
        choice, options = wanted.removeprefix(f"{group}/"), _options(loader, group)
        message = f"{group}={choice}: there is no such choice.{did_you_mean(choice, options)}"
        raise ConfigError(f"{message} The choices of {group}: {', '.join(options)}") from error
    except FOREIGN as error:
        raise ConfigError(_words(error)) from error


def _words(error: BaseException) -> str:
    """Return what a foreign error says, without its advice on Hydra, search paths and inner keys."""
    cause = error.__cause__
    text = str(error).split("Config search path")[0]
    if isinstance(cause, OmegaConfBaseException):
        text = f"{text}: {cause}".replace("Error merging override ++", "").removeprefix(": ")
    noise = r"\s*(See http|Error parsing override|full_key:|object_type=|Set the environment|Or add a second)"
    lines = [line.strip() for line in text.splitlines() if not re.match(noise, line)]
    return " ".join(line for line in lines if line).rstrip(".") or type(error).__name__
