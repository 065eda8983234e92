"""Say in few lines how many modules can't be captured, and why: one line for each kind of reason."""

from __future__ import annotations

import re
from collections.abc import Mapping

from network_atlas.errors import counted


def in_short(reasons: Mapping[str, str]) -> list[str]:
    """Return a line for each kind of reason, the most frequent first: how many modules, one of them, its reason.

    Reasons are of one kind that differ only in numbers and in what stands in parentheses: '(4, 3, 16)'.
    """
    kinds: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        kinds.setdefault(re.sub(r"\(.*?\)|\d+", "", reason), []).append(name)
    return [
        f"{counted(len(names), 'module')} can't be captured, {'such as ' if len(names) > 1 else ''}"
        f"{names[0]}: {reasons[names[0]]}"
        for names in sorted(kinds.values(), key=len, reverse=True)
    ]
