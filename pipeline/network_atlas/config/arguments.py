"""Arguments that a configuration passes to foreign code: any YAML values, in a form that can't be changed.

frozen({"img_size": [160, 224]})       # a mapping with a hash
keywords(config.model.arguments)       # {'img_size': [160, 224]}: new lists and dictionaries for each caller
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import PlainValidator


class FrozenMapping(Mapping[str, object]):
    """A mapping that can't be changed and has a hash."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, object]) -> None:
        self._items = dict(items)

    def __getitem__(self, name: str) -> object:
        return self._items[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(frozenset(self._items.items()))  # without order, as equality of mappings

    def __repr__(self) -> str:
        return repr(self._items)


def frozen(values: object) -> FrozenMapping:
    """Return a frozen copy of a mapping, at all depths. Raises ValueError for anything but a mapping of YAML values."""
    if not isinstance(values, Mapping):
        raise ValueError(f"got {values!r}; must be a mapping, such as {{key: value}}")
    return FrozenMapping({str(name): _frozen(value) for name, value in values.items()})


def _frozen(value: object) -> object:
    if isinstance(value, Mapping):
        return frozen(value)
    if isinstance(value, list | tuple):
        return tuple(map(_frozen, value))
    # JSON has no such numbers, so the record of a run could not hold them.
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"got {value}; must be a finite number")
    if value is None or isinstance(value, str | int | float):
        return value
    raise ValueError(f"got {value!r}; must be text, a number, true, false, null, a list or a mapping")


def keywords(arguments: Mapping[str, object]) -> dict[str, Any]:
    """Return the arguments as new lists and dictionaries, which foreign code may change."""
    return {name: _thawed(value) for name, value in arguments.items()}


def _thawed(value: object) -> object:
    if isinstance(value, Mapping):
        return keywords(value)
    return [_thawed(item) for item in value] if isinstance(value, list | tuple) else value


Arguments = Annotated[Mapping[str, object], PlainValidator(frozen)]
