"""The JSON index of a checkpoint in several files: which files it names, and the same index with other names of files.

index = parse_index(text)           # {} for a file that is none; `read_index` says what is wrong with it
part_names(index)                   # ['model-00001-of-00002.safetensors', ...]
with_names(index, {'model-00001-of-00002.safetensors': 'other name', ...})
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

ENDING = ".json"
"""How the name of an index ends."""
WEIGHT_MAP = "weight_map"
"""Its entry from the names of weights to the names of the files that hold them, which lie beside it."""


def read_index(text: bytes) -> dict[str, Any]:
    """Return the content of an index. Raises ValueError, in words that follow a file's name, for other texts."""
    try:
        index = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError("can't be read: it is cut short, or not a checkpoint") from error
    names = index.get(WEIGHT_MAP) if isinstance(index, dict) else None
    if not isinstance(names, dict) or not all(map(_is_beside, names.values())):
        raise ValueError(
            f"is JSON, but no index of a checkpoint in several files: that has a {WEIGHT_MAP!r} from the names of "
            "weights to the names of files beside it"
        )
    return {**index}


def parse_index(text: bytes) -> dict[str, Any]:
    """Return the content of an index; an empty one for other texts, which a run refuses in better words."""
    try:
        return read_index(text)
    except ValueError:
        return {}


def _is_beside(name: object) -> bool:
    return isinstance(name, str) and name == os.path.basename(name) and name not in ("", os.curdir, os.pardir)


def part_names(index: Mapping[str, Any]) -> list[str]:
    """Return the names of the files that an index names, sorted."""
    return sorted(set(index.get(WEIGHT_MAP, {}).values()))


def with_names(index: Mapping[str, Any], names: Mapping[str, str]) -> bytes:
    """Return the text of the index with another name for each file."""
    weight_map = {weight: names[name] for weight, name in index[WEIGHT_MAP].items()}
    return json.dumps({**index, WEIGHT_MAP: weight_map}).encode()
