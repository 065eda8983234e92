"""Find the settings that determine a result, from their own declarations (`config.declare`).

    determining(config.optimize, OPTIMIZE)   # {'steps': 128, ...}: part of a picture's key
    fixed_settings(config)                   # these must stay the same in one root
    recorded(config)                         # these are in a snapshot's manifest

Settings are returned as plain values by dotted path, as by `config.plain.flatten`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from network_atlas.config.declare import MAY_CHANGE, NOTHING, ROLES
from network_atlas.config.plain import flatten, plain
from network_atlas.config.schema import RunConfig

Leaf = tuple[str, object, Mapping[str, Any]]
"""Dotted path, value, and the metadata of the field that holds it."""


def determining(group: object, role: str) -> dict[str, object]:
    """Return the settings in a group, at any depth, whose values are part of the keys of a stage (`role`)."""
    return {path: value for path, value, metadata in _leaves(group) if role in metadata[ROLES]}


def fixed_settings(config: RunConfig) -> dict[str, object]:
    """Return the settings that must stay the same in one root: they determine results and may not change."""
    return {path: value for path, value, metadata in _leaves(config) if not metadata[MAY_CHANGE]}


def recorded(config: RunConfig) -> dict[str, object]:
    """Return the settings that determine any result. Two snapshots with the same ones and the same files are equal."""
    return {path: value for path, value, metadata in _leaves(config) if NOTHING not in metadata[ROLES]}


def _leaves(group: object, prefix: str = "") -> Iterator[Leaf]:
    assert dataclasses.is_dataclass(group), f"{group!r} is not a group of settings"
    for field in dataclasses.fields(group):
        value, path = getattr(group, field.name), f"{prefix}{field.name}"
        yield from _below(value, path, field.metadata)


def _below(value: object, path: str, metadata: Mapping[str, Any]) -> Iterator[Leaf]:
    """Yield the settings in a field's value: the value itself, or the settings of the groups in it."""
    if ROLES in metadata:
        yield from ((below, leaf, metadata) for below, leaf in flatten(plain(value), path).items())
    elif dataclasses.is_dataclass(value):
        yield from _leaves(value, f"{path}.")
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _below(item, f"{path}.{name}", metadata)
    elif isinstance(value, tuple):
        for number, item in enumerate(value):
            yield from _below(item, f"{path}.{number}", metadata)
