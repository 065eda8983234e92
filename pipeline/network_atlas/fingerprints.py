"""Fingerprints: names of values, derived from their content. They identify tasks and results."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from functools import cache


@cache
def _fields(kind: type) -> tuple[str, ...]:
    """Return the names of a dataclass's fields. Cached: a large plan needs them a hundred thousand times."""
    return tuple(field.name for field in dataclasses.fields(kind))


def canonical(value: object) -> object:
    """Return dataclasses, tuples and mappings as plain JSON values, each dataclass tagged with its type.

    Renaming a class or a field therefore changes fingerprints, and results made before count as missing.
    """
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    if isinstance(value, dict):
        return {str(key): canonical(item) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {name: canonical(getattr(value, name)) for name in _fields(type(value))}
        return {"": type(value).__name__, **fields}
    raise TypeError(f"cannot fingerprint a {type(value).__name__}: {value!r}")


def fingerprint(*parts: object) -> str:
    """Return 32 hexadecimal digits that name `parts` by content (SHA-256 of their canonical JSON)."""
    text = json.dumps(canonical(parts), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
