"""Tell the settings that a version brought, or took away, from those that a user changed.

    in_common(new, old)   # `new` without what `old` does not have only because its version did not know it

Settings are plain values by dotted path, as `config.determines` returns them. Within one version the same group has the
same settings on both sides; only free mappings, such as a function's arguments, have the user's own names.
"""

from __future__ import annotations

import dataclasses
from collections import abc
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from network_atlas.config.plain import plain
from network_atlas.config.schema import RunConfig


def in_common(settings: Mapping[str, object], others: Mapping[str, object]) -> dict[str, object]:
    """Return the settings without those that the others lack, and that no user gave: these stand at their default.

    One that every choice in `conf/` must give has no default here: it is left out where the others have its group.
    """
    groups = {_group(path) for path in others}

    def is_given(path: str, value: object) -> bool:
        defaults = declared_defaults(path)
        if defaults is None:
            return True
        return value not in defaults if defaults else _group(path) not in groups

    return {path: value for path, value in settings.items() if path in others or is_given(path, value)}


def _group(path: str) -> str:
    return path.rpartition(".")[0]


@lru_cache(maxsize=4096)
def declared_defaults(path: str) -> tuple[object, ...] | None:
    """Return the defaults of a setting in the groups that may stand at its place; () if it must be given there.

    None for what is no declared setting.
    """
    *groups, name = path.split(".")
    types: list[Any] = [RunConfig]
    for part in groups:
        types = [below for each in types for below in _below(each, part)]
    fields = [field for each in types if dataclasses.is_dataclass(each) for field in dataclasses.fields(each)]
    declared = [field for field in fields if field.name == name]
    return tuple(default for field in declared for default in _default(field)) if declared else None


def _default(field: dataclasses.Field[Any]) -> Iterator[object]:
    if field.default is not dataclasses.MISSING:
        yield plain(field.default)
    elif field.default_factory is not dataclasses.MISSING:
        yield plain(field.default_factory())


def _below(group: Any, part: str) -> Iterator[Any]:
    """Yield the types that a part of a group may have: a field's, or that of the items of a mapping or a tuple."""
    if isinstance(group, type) and dataclasses.is_dataclass(group):
        yield from _each(_hints(group).get(part, NoneType))
    elif get_origin(group) in (dict, abc.Mapping):
        yield from _each(get_args(group)[1])
    elif get_origin(group) is tuple:
        yield from _each(get_args(group)[0])


def _each(type_: Any) -> Iterator[Any]:
    """Yield a type, or the members of a union."""
    members = get_args(type_) if get_origin(type_) in (Union, UnionType) else (type_,)
    yield from members


@lru_cache(maxsize=256)
def _hints(group: type) -> dict[str, Any]:
    return get_type_hints(group)
