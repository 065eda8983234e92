"""Read overrides, and refuse mistakes that Hydra would accept without a warning or report without the override's name.

Overrides follow Hydra's grammar with one exception: a value that the grammar cannot read is taken literally if the
schema allows only text there. So `store.root=~/a(b)` needs no quotes inside the shell's. Commas still separate values.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, get_origin

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException

from network_atlas.config.explain import kinds_at
from network_atlas.config.foreign_words import RECIPE, words
from network_atlas.config.schema import RunConfig
from network_atlas.config.suggest import choice_meant, word_meant
from network_atlas.errors import ConfigError, did_you_mean

GRAMMAR = (
    "Write key=value, for example optimize.steps=64 or model=torchvision; a value with brackets, commas, spaces, '#' "
    "or other signs needs quotes inside the shell's: 'key=\"value\"', 'sweep.select.0.include=[\"layer3.*\"]'."
)
SEVERAL = "names several values: add -m to run them all, or put them in quotes to mean one text"
CHOICES = "a grid needs the values themselves: write {key}=a,b,c or {key}=range(1,5), with -m"
ANY_NETWORK = (
    ". A network that torchvision or timm knows by that name: model=torchvision model.name={name}, or model=timm"
)
ROOTS = frozenset(field.name for field in fields(RunConfig))
GROUPS = ROOTS | {"experiment"}
ITEMS = {"sweep.select": "[{include: [...]}]", "sweep.variants": "[{objective: channel}]"}


def sets(override: str, path: str) -> bool:
    """Say whether an override sets the value at a dotted path."""
    return override.partition("=")[0].lstrip("+").strip() == path


def parse(overrides: Sequence[str], loader: ConfigLoaderImpl) -> list[Override]:
    """Return the overrides as Hydra reads them. Raises one ConfigError with all that it cannot read."""
    parser = OverridesParser.create(config_loader=loader)
    parsed: list[Override] = []
    problems: list[str] = []
    cause: Exception | None = None
    for line in overrides:
        try:
            parsed += _read(line, parser)
        except HydraException as error:
            cause = error
            problems.append(_unreadable(line, error, loader))
    if problems:
        raise ConfigError("\n".join(problems)) from cause
    return parsed


def refuse_early(parsed: Iterable[Override], loader: ConfigLoaderImpl) -> None:
    """Raise ConfigError for mistakes that Hydra would not report, or report without the override's name."""
    problems = [problem for override in parsed if (problem := _problem(override, loader))]
    if problems:
        raise ConfigError("\n".join(problems))


def refuse_unlisted(parsed: Iterable[Override]) -> None:
    """Raise ConfigError for overrides that mean several values but do not list them, or list none."""
    problems = []
    for override in (item for item in parsed if item.is_sweep_override()):
        line = str(override.input_line)
        if not override.is_discrete_sweep():
            problems.append(f"{line}: {CHOICES.format(key=override.get_key_element())}")
        elif not any(True for _ in override.sweep_string_iterator()):
            problems.append(f"{line} gives no value: no choice matches, or the range is empty")
    if problems:
        raise ConfigError("\n".join(problems))


def options(loader: ConfigLoaderImpl, group: str) -> list[str]:
    """Return the choices of a group; an empty list if there is no such group."""
    # Not loader.get_group_options, which copies the repository at each call: that took two thirds of `compose`.
    return sorted(set(loader.repository.get_group_options(group, ObjectType.CONFIG)))


def is_choice(override: Override, loader: ConfigLoaderImpl) -> bool:
    """Say whether an override chooses a file of a group, as Hydra takes it, and sets no value."""
    return bool(options(loader, override.key_or_group)) and not isinstance(override.value(), dict)


def whole_list(path: str) -> str:
    """Return the advice to give the whole list, with an example."""
    return f"give the whole list instead: '{path}={ITEMS.get(path, '[...]')}'"


def no_such_choice(group: str, choice: str, loader: ConfigLoaderImpl) -> str:
    """Return the message for an unknown choice, with the choices of the group and the overrides probably meant."""
    choices = options(loader, group)
    line = choice_meant(group, choice)
    guess = "" if line else did_you_mean(choice, choices)
    is_name = group == "model" and re.fullmatch(r"[\w.-]+", choice)
    advice = f". Write: {line}" if line else ANY_NETWORK.format(name=choice) if is_name else ""
    return f"{group}={choice}: there is no such choice.{guess} The choices of {group}: {', '.join(choices)}{advice}"


def _unreadable(line: str, error: HydraException, loader: ConfigLoaderImpl) -> str:
    """Return the message for an override that the grammar cannot read, such as a lone word or a path as a choice."""
    key, equals, value = line.partition("=")
    if equals and choice_meant(key, value):
        return no_such_choice(key, value, loader)
    meant = (
        "" if equals or "@" in line else word_meant(line, {group: options(loader, group) for group in sorted(GROUPS)})
    )
    advice = f"Write: {meant}" if meant else GRAMMAR
    return f"cannot read the override {line!r}: {words(error)}. {advice}"


def _read(line: str, parser: OverridesParser) -> list[Override]:
    try:
        return parser.parse_overrides([line])
    except HydraException:  # only now literally: text that the grammar can read keeps its meaning
        quoted = _quoted(line)
        if quoted is None:
            raise
        return parser.parse_overrides([quoted])


def _quoted(line: str) -> str | None:
    """Return the override with its value in quotes; None if the setting is not text, or there are several values."""
    key, equals, value = line.partition("=")
    if not equals or "," in value or _kinds(key) != {str}:
        return None
    return f"{key}={QuotedString(text=value.strip(), quote=Quote.double).with_quotes()}"


def _kinds(key: str) -> set[Any]:
    return set(kinds_at(RunConfig, key.split(".")))


def _problem(override: Override, loader: ConfigLoaderImpl) -> str | None:
    key, line = override.key_or_group, str(override.input_line)
    if not key:
        return f"the override {line!r} has no key. {GRAMMAR}"
    if re.split(r"[./]", key)[0] == "hydra":
        return f"{line}: Hydra's own settings have no effect here; a run writes only below store.root, set that"
    if override.is_sweep_override():
        return f"{line} {SEVERAL}" if override.is_discrete_sweep() else f"{line}: {CHOICES.format(key=key)}"
    choices = options(loader, key)
    if override.package is not None:
        return _package_problem(override, loader)
    if not choices:
        return next(_place_problems(override), None)
    if override.is_delete() and key in ROOTS:
        return f"{line}: every run needs a choice of {key}; write {key}=..., one of {', '.join(choices)}"
    if override.is_add() and key in ROOTS and override.package is None:
        return f"{line}: {key} has a choice already; write {line.removeprefix('+')}, without the '+'"
    value = override.value()
    if isinstance(value, str) and value.startswith((".", "/")):
        # A path, which Hydra would normalize: dataset=./photos would choose the packaged photos.
        return no_such_choice(key, value, loader)
    if not override.is_delete() and not isinstance(value, str | list | dict):
        return f"{line}: name a choice of {key}: {', '.join(choices)}"
    return None


def _package_problem(override: Override, loader: ConfigLoaderImpl) -> str | None:
    """Return the problem of `group@package=choice`, if any: packages are only for recipes and choices in a recipe."""
    group, package, line = override.key_or_group, override.package or "", str(override.input_line)
    if not options(loader, group):
        groups = ", ".join(name for name in sorted(GROUPS) if options(loader, name))
        return f"{line}: there is no group '{group}' of choices; there are {groups}"
    *parents, last = group.split("/")
    recipe = re.match(r"recipes\.[\w-]+", package)
    if recipe and (group == "optimize" or parents == ["optimize"]):
        fitting = ".".join([recipe[0], *([last] if parents else [])])
        if package == fitting:
            return None
        value = "..." if override.is_delete() else override.get_value_element_as_str()
        added = RECIPE.replace("recipes.NAME", recipe[0])
        return f"{line}: write {added}" + (f", then {group}@{fitting}={value}" if parents else "")
    return (
        f"{line}: '@' puts a choice into a recipe of its own: {RECIPE}, and then, to change a part of it, "
        "optimize/parameterization@recipes.NAME.parameterization=pixels"
    )


def _place_problems(override: Override) -> Iterator[str]:
    """Yield the problems of an override that does not fit the schema's lists and mappings: Hydra could not merge it."""
    key, line = override.key_or_group, str(override.input_line)
    parts = key.split(".")
    for depth, part in enumerate(parts[1:], start=1):
        path = ".".join(parts[:depth])
        if not _is_list(_kinds(path)):
            continue
        if not part.isdigit():
            yield f"{line}: {path} is a list; name an item by its number, as in {path}.0"
        elif override.is_delete() and depth == len(parts) - 1:
            yield f"{line}: items of a list cannot be deleted; {whole_list(path)}"
    if override.is_delete():
        return
    kinds, value = _kinds(key), override.value()
    if isinstance(value, Mapping) and _is_list(kinds):
        yield f"{line}: {key} must be a list; {whole_list(key)}"
    elif isinstance(value, list) and any(get_origin(kind) in (dict, Mapping) for kind in kinds):
        yield f"{line}: {key} must be a mapping, such as '{key}={{key: value}}'"
    elif isinstance(value, list) and any(is_dataclass(kind) for kind in kinds):
        names = dict.fromkeys(field.name for kind in kinds if is_dataclass(kind) for field in fields(kind))
        yield f"{line}: {key} must be a group of settings ({', '.join(names)})"


def _is_list(kinds: set[Any]) -> bool:
    return bool(kinds) and all(get_origin(kind) is tuple for kind in kinds)
