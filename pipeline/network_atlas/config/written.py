"""Settings as overrides: words that `config.compose` reads as exactly these values.

override("model.weights", "run 7.pth")     # 'model.weights="run 7.pth"'
override("model.input.mean", [0.5])        # 'model.input.mean=[0.5]'
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

BEFORE_QUOTES = re.compile(r'(\\*)("|$)')
NEEDS_NO_QUOTES = re.compile(r"(?!(?:true|false|null|nan|inf)$)[a-z_/][a-z0-9_./:+-]*", re.IGNORECASE | re.ASCII)


def override(key: str, value: object) -> str:
    """Return the override that sets a value, which may be a list or a mapping."""
    is_word = isinstance(value, str) and NEEDS_NO_QUOTES.fullmatch(value)
    return f"{key}={value if is_word else _written(value)}"


def _written(value: object) -> str:
    """Return a value as the grammar has it: names in mappings have no quotes, and texts have."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_written(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_written, value)) + "]"
    return _quoted(value) if isinstance(value, str) else json.dumps(value)


def _quoted(text: str) -> str:
    """Return text in quotes, in which a backslash is one only before a quote, or at the end."""
    escaped = BEFORE_QUOTES.sub(lambda match: match[1] * 2 + ('\\"' if match[2] else ""), text)
    return f'"{escaped}"'
