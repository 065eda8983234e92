"""Globs over dotted module names and class names.

    '*'  any text within one dotted part      'layer1.*' takes 'layer1.0', not 'layer1.0.conv1'
    '**' any text, dots included              '**.conv1' takes 'layer1.0.conv1' and 'conv1'
    '?'  one character other than a dot       'layer?.0'
    '[]' one character of a set, [!..] of none of it

Case counts. A pattern without any of these is a name.
"""

from __future__ import annotations

import re
from functools import cache

TOKENS = re.compile(r"\*\*+\.|\*\*+|\*|\?|\[!?\]?[^\]]*\]|.", re.DOTALL)


def is_glob(pattern: str) -> bool:
    """Return whether the pattern holds a wildcard, and so may match any number of names."""
    return any(character in pattern for character in "*?[")


def matches(pattern: str, name: str) -> bool:
    """Return whether the glob matches the whole name."""
    return _compiled(pattern).fullmatch(name) is not None


def literal(pattern: str) -> str:
    """Return the pattern without its wildcards, to look for names near it."""
    return re.sub(r"\[[^\]]*\]|[*?\[\]]", "", pattern).strip(".")


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    start_of_part = True
    parts: list[str] = []
    for token in TOKENS.findall(pattern):
        parts.append(_expression(token, start_of_part=start_of_part))
        start_of_part = token.endswith(".")
    return re.compile("".join(parts), re.DOTALL)


def _expression(glob: str, *, start_of_part: bool) -> str:
    if glob.startswith("**"):
        if glob.endswith("."):
            return r"(?:.*\.)?" if start_of_part else r".*\."
        return ".*"
    if glob == "*":
        return r"[^.]*"
    if glob == "?":
        return r"[^.]"
    return _set(glob) if len(glob) > 1 else re.escape(glob)


def _set(token: str) -> str:
    """Return a character set as an expression. An upside-down range such as [9-0] matches nothing, as in a shell."""
    body = token[1:-1]
    negated = body.startswith("!")
    characters = body.removeprefix("!")
    escaped = "".join(character if character == "-" else re.escape(character) for character in characters)
    try:
        re.compile(f"[{escaped}]")
    except re.error:
        return r"(?!)"
    return rf"(?!\.)[{'^' if negated else ''}{escaped}]"
