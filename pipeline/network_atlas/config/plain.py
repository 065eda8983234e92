"""A configuration as plain JSON values: to store it, and to compare the settings of two runs.

    differences(to_plain(before), to_plain(now))   # ['model.name: efficientnet_lite0 -> resnet18']

Nothing here knows Hydra or YAML.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterable, Mapping

from network_atlas.config.schema import RunConfig

ABSENT = "(not there)"


def to_plain(config: RunConfig) -> dict[str, object]:
    """Return the resolved configuration as nested dictionaries and lists that JSON can hold."""
    return {field.name: plain(getattr(config, field.name)) for field in dataclasses.fields(config)}


def flatten(value: object, prefix: str = "") -> dict[str, object]:
    """Return every leaf by its dotted path: {'sweep.select.0.spread': 5, ...}.

    Empty containers, and lists that hold no dictionary, are leaves.
    """
    children = _children(value)
    if children is None:
        return {prefix: value}
    flat: dict[str, object] = {}
    for name, child in children:
        flat.update(flatten(child, f"{prefix}.{name}" if prefix else name))
    return flat


def differences(old: dict[str, object], new: dict[str, object]) -> list[str]:
    """Return one line 'dotted.path: old -> new' for each leaf that differs, in the order of `new`.

    Pass only the parts to compare: `differences({"model": old["model"]}, {"model": new["model"]})`.
    """
    before, after = flatten(old), flatten(new)
    before, after = _without_filled(before, after), _without_filled(after, before)
    return [
        f"{path}: {_shown(before, path)} -> {_shown(after, path)}"
        for path in [*after, *(path for path in before if path not in after)]
        if path not in before or path not in after or before[path] != after[path]
    ]


def _without_filled(leaves: dict[str, object], others: dict[str, object]) -> dict[str, object]:
    """Leave out empty mappings that have entries on the other side: these say all that differs."""
    return {
        path: value
        for path, value in leaves.items()
        if value != {} or path in others or not any(other.startswith(f"{path}.") for other in others)
    }


def folder_name(overrides: Iterable[str]) -> str:
    """Return 'a=1,b=2' for the sorted overrides, safe for paths; a short hash is added if characters were replaced."""
    text = ",".join(sorted(overrides))
    safe = re.sub(r"[^A-Za-z0-9._=,-]+", "_", text)[:120]
    return safe if safe == text else f"{safe}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def plain(value: object) -> object:
    """Return dataclasses as dictionaries and tuples as lists, at all depths."""
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value


def _children(value: object) -> list[tuple[str, object]] | None:
    if isinstance(value, dict) and value:
        return [(str(key), item) for key, item in value.items()]
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return [(str(index), item) for index, item in enumerate(value)]
    return None


def _shown(flat: dict[str, object], path: str) -> str:
    if path not in flat:
        return ABSENT
    value = flat[path]
    # Otherwise as JSON, in quotes: empty text and spaces at the ends would not be visible.
    if isinstance(value, str) and value and value == value.strip():
        return value
    return json.dumps(value, ensure_ascii=False)
