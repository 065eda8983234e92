"""Globs over dotted module names and class names, by wcmatch; the parts of a name are its folders.

    '*'     any text within one dotted part             'layer1.*' takes 'layer1.0', not 'layer1.0.conv1'
    '**'    as a whole part: any parts, none included   '**.conv1' takes 'layer1.0.conv1' and 'conv1'
    '?'     one character other than a dot              'layer?.0'
    '[]'    one character of a set, [!..] of none of it
    '{a,b}' any of several texts

Case counts. A pattern without any of these is a name.
"""

from __future__ import annotations

import re

from wcmatch import glob

FLAGS = glob.GLOBSTAR | glob.BRACE | glob.CASE | glob.DOTGLOB | glob.FORCEUNIX


def is_glob(pattern: str) -> bool:
    """Return whether the pattern holds a wildcard, and so may match any number of names."""
    return any(character in pattern for character in "*?[{")


def matches(pattern: str, name: str) -> bool:
    """Return whether the glob matches the whole name."""
    return bool(glob.globmatch(name.replace(".", "/"), pattern.replace(".", "/"), flags=FLAGS))


def literal(pattern: str) -> str:
    """Return the pattern without its wildcards, to look for names near it."""
    return re.sub(r"\[[^\]]*\]|[*?{}\[\]]", "", pattern).strip(".")
