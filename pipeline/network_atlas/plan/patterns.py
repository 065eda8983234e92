"""Globs over dotted module names and class names, by wcmatch; the parts of a name are its folders.

    '*'     any text within one dotted part             'layer1.*' takes 'layer1.0', not 'layer1.0.conv1'
    '**'    as a whole part: any parts, none included   '**.conv1' takes 'layer1.0.conv1' and 'conv1'
    '?'     one character other than a dot              'layer?.0'
    '[]'    one character of a set, [!..] of none of it
    '{a,b}' any of several texts; '{10..12}' any of these numbers

Case counts. A pattern without any of these is a name.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import bracex
from wcmatch import glob

FLAGS = glob.GLOBSTAR | glob.CASE | glob.DOTGLOB | glob.FORCEUNIX


def is_glob(pattern: str) -> bool:
    """Return whether the pattern holds a wildcard, and so may match any number of names."""
    return any(character in pattern for character in "*?[{")


def matches(pattern: str, name: str) -> bool:
    """Return whether the glob matches the whole name."""
    path = name.replace(".", "/")
    return any(text.match(path) for text in _compiled(pattern))


@cache
def _compiled(pattern: str) -> tuple[Any, ...]:
    # Braces first: the dots of '{10..12}' separate no parts.
    return tuple(glob.compile(text.replace(".", "/"), flags=FLAGS) for text in bracex.iexpand(pattern, limit=0))


def literal(pattern: str) -> str:
    """Return the pattern without its wildcards, to look for names near it."""
    return re.sub(r"\[[^\]]*\]|[*?{}\[\]]", "", pattern).strip(".")
