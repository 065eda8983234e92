"""Explain what is wrong with a configuration to the person who wrote it.

From pydantic's errors (as plain dictionaries) and the values that it checked come lines such as:

    optimize.steps: got 0; must be greater than or equal to 1
    sweep: unknown setting 'blok'. Did you mean 'block'? There are: block, seed, select, variants
    model.name must be given, for example model.name=resnet50
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from network_atlas.config.plain import flatten
from network_atlas.config.suggest import SETTINGS
from network_atlas.errors import did_you_mean

Path = tuple[str | int, ...]

EXAMPLES = {
    "torchvision": "resnet50",
    "timm": "convnext_tiny",
    "function": "my_package.my_module:build",
    "folder": "path/to/images",
    "tar": "'shards/{000..255}.tar'",
    "parquet": "path/to/parquet",
}
"""Example of a value that must be given, by the `source` that stands beside it."""

KINDS = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "tuple_type": "a list, such as [a, b]",
    "dict_type": "a mapping, such as {key: value}",
    "string_too_short": "text that is not empty",
    "too_short": "a list of at least one item",
}
GROUP_TYPES = {"dataclass_type", "model_attributes_type"}


def explain(errors: Iterable[Mapping[str, Any]], values: Mapping[str, Any], schema: type) -> list[str]:
    """Return one line for each place in `values` that does not fit the dataclass `schema`, from pydantic's errors."""
    lines: list[str] = []
    allowed: dict[Path, list[str]] = {}
    everywhere: list[Path] = []
    for error in errors:
        path = _path(error, values)
        everywhere.append(path)
        line = _whole_line(error, path, values, schema)
        if line is not None:
            lines.append(line)
        else:
            allowed.setdefault(path, []).append(_allowed(error, path, values, schema))
    # pydantic also calls a list too short if one of its items is wrong: report only the item.
    deepest = [path for path in allowed if not _has_deeper(path, everywhere)]
    return lines + [_wrong_value(path, values, allowed[path]) for path in deepest]


def missing(path: str, values: Mapping[str, Any]) -> str:
    """Return the line for a value that is missing and has no default."""
    *parents, _ = path.split(".")
    beside = _at(values, tuple(int(part) if part.isdigit() else part for part in parents))
    source = beside.get("source") if isinstance(beside, Mapping) else None
    return f"{path} must be given, for example {path}={EXAMPLES.get(str(source), '...')}"


def dotted(path: Path) -> str:
    """Return ('sweep', 'select', 0) as 'sweep.select.0'."""
    return ".".join(str(part) for part in path)


def _path(error: Mapping[str, Any], values: Mapping[str, Any]) -> Path:
    """Return the path of the error among the values. pydantic's own path also has the names of union members."""
    path: Path = ()
    value: Any = values
    last = len(error["loc"]) - 1
    for position, part in enumerate(error["loc"]):
        inside = isinstance(value, Mapping) and part in value
        inside = inside or (isinstance(value, list) and isinstance(part, int) and part < len(value))
        if inside:
            path, value = (*path, part), value[part]
        elif error["type"] == "missing" and position == last:
            path = (*path, part)
    # Members of a union are told apart by their setting 'name': that is what is missing or wrong.
    return (*path, "name") if error["type"].startswith("union_tag") else path


def _whole_line(error: Mapping[str, Any], path: Path, values: Mapping[str, Any], schema: type) -> str | None:
    if error["type"] == "unexpected_keyword_argument":
        return _unknown(path, values, schema)
    if error["type"] in ("missing", "union_tag_not_found"):
        return missing(dotted(path), values)
    if error["type"] == "value_error":
        return f"{dotted(path)}: {error['ctx']['error']}" if path else str(error["ctx"]["error"])
    return None


def _unknown(path: Path, values: Mapping[str, Any], schema: type) -> str:
    *parents, name = path
    names = field_names(schema, tuple(parents), values)
    guess = _elsewhere(dotted(path), values)
    # Words of other tools come first: 'layers' means those of the sweep, not `layout.layers`.
    if (not parents or not guess) and (override := SETTINGS.get(str(name).lower())):
        guess = f" Write for example: {override}."
    guess = guess or did_you_mean(str(name), names)
    problem = f"{dotted(tuple(parents))}: unknown setting" if parents else "there is no group or setting"
    return f"{problem} '{name}'.{guess} There are: {', '.join(names)}"


def _elsewhere(name: str, values: Mapping[str, Any]) -> str:
    """Return a guess for a setting that is named without its whole group, such as steps=64."""
    paths = [path for path in flatten(values) if path.endswith(f".{name}")]
    # Settings of models that few runs learn are named where nothing else has the name.
    paths = [path for path in paths if not path.startswith("priors.")] or paths
    return f" Did you mean {' or '.join(paths[:3])}?" if paths else ""


def _allowed(error: Mapping[str, Any], path: Path, values: Mapping[str, Any], schema: type) -> str:
    kind = error["type"]
    if kind in GROUP_TYPES:
        return f"a group of settings ({', '.join(field_names(schema, path, values))})"
    if kind == "string_type" and isinstance(error["input"], int | float):
        return f"text (quote it: {dotted(path)}='\"{error['input']}\"')"
    if kind == "union_tag_invalid":
        return _one_of(error["ctx"]["expected_tags"].replace("', '", "' or '"), error["ctx"]["tag"])
    if kind == "literal_error":
        return _one_of(error["ctx"]["expected"], error["input"])
    return KINDS.get(kind, re.sub(r"^(Input|Value|String|Tuple|Dictionary) should (be )?", "", error["msg"]))


def _one_of(expected: str, got: object) -> str:
    guess = did_you_mean(str(got), re.findall(r"'([^']*)'", expected))
    return f"{expected}.{guess}" if guess else expected


def _wrong_value(path: Path, values: Mapping[str, Any], allowed: Sequence[str]) -> str:
    got = repr(_at(values, path))
    short = got if len(got) <= 80 else got[:77] + "..."
    return f"{dotted(path)}: got {short}; must be {', or '.join(dict.fromkeys(allowed))}"


def _has_deeper(path: Path, paths: Iterable[Path]) -> bool:
    """Say whether there is an error inside this value: it tells more than that the value has the wrong type."""
    return any(len(longer) > len(path) and longer[: len(path)] == path for longer in paths)


def _at(values: Any, path: Path) -> Any:
    for part in path:
        values = values[part]
    return values


def field_names(schema: type, path: Path, values: Mapping[str, Any]) -> list[str]:
    """Return the settings that the dataclass `schema` allows at `path`; in a union, those of the member named there."""
    kinds = [kind for kind in kinds_at(schema, path) if dataclasses.is_dataclass(kind)]
    here = _at(values, path)
    named = [kind for kind in kinds if isinstance(here, Mapping) and here.get("name") in _own_names(kind)]
    return list(dict.fromkeys(field.name for kind in named or kinds for field in dataclasses.fields(kind)))


def kinds_at(schema: type, path: Sequence[str | int]) -> list[Any]:
    """Return the types that the dataclass `schema` allows at `path`; an empty list if it has no such path."""
    kinds: list[Any] = [schema]
    for part in path:
        kinds = [member for kind in kinds for member in _inside(kind, part) if member is not None]
    return kinds


@cache
def _hints(kind: type) -> dict[str, Any]:
    """Return the types of a dataclass's fields. Each override needs some, and evaluating them takes long."""
    return get_type_hints(kind)


def _own_names(kind: Any) -> tuple[Any, ...]:
    hint = _hints(kind).get("name")
    return get_args(hint) if get_origin(hint) is Literal else ()


def _inside(kind: Any, part: str | int) -> list[Any]:
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hint = _hints(kind).get(str(part))
    elif get_origin(kind) in (tuple, dict, Mapping):
        hint = next(arg for arg in reversed(get_args(kind)) if arg is not Ellipsis)
    else:
        return []
    return list(get_args(hint)) if get_origin(hint) in (Union, UnionType) else [hint]
