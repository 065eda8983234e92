"""Which images of a dataset are used: `dataset.include`, `dataset.exclude` and `dataset.only`.

subset = Subset.of(config.dataset)
paths = [path for path in every_path if subset.holds(path)]
subset.sentences()      # what matched nothing
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import translate
from pathlib import Path

from network_atlas.config.dataset import DatasetConfig
from network_atlas.errors import DatasetError, counted


@dataclass(slots=True, kw_only=True)
class Subset:
    """The images that pass, and a record of which rules matched something while it was asked."""

    include: tuple[Glob, ...]
    exclude: tuple[Glob, ...]
    only: frozenset[str] | None
    """None: every image may pass."""
    listed: set[str] = field(default_factory=set)
    """The ids of `only` that an image has."""

    @classmethod
    def of(cls, config: DatasetConfig) -> Subset:
        """Return the subset that a configuration names; raise DatasetError when its list can't be read."""
        return cls(
            include=tuple(Glob(name="dataset.include", pattern=pattern) for pattern in config.include),
            exclude=tuple(Glob(name="dataset.exclude", pattern=pattern) for pattern in config.exclude),
            only=read_ids(config.only) if config.only else None,
        )

    def holds(self, path: str) -> bool:
        """Say whether an image passes. Every rule is asked, so that each knows whether it matches something."""
        included = [glob.matches(path) for glob in self.include]
        excluded = [glob.matches(path) for glob in self.exclude]
        if self.only is not None:
            if path not in self.only:
                return False
            self.listed.add(path)
        return (any(included) or not included) and not any(excluded)

    def sentences(self) -> list[str]:
        """Return one sentence for each rule that matched no image, and one for the ids that no image has."""
        sentences = [glob.sentence() for glob in (*self.include, *self.exclude) if not glob.used]
        missing = sorted((self.only or frozenset()) - self.listed)
        if missing:
            ids = f"{len(missing):,} of {counted(len(self.only or ()), 'id')}"
            match = "matches" if len(missing) == 1 else "match"
            sentences.append(f"dataset.only: {ids} {match} no image, {_examples(missing)}")
        return sentences


@dataclass(slots=True)
class Glob:
    """A pattern over paths, in which '*' also matches '/'."""

    name: str
    """The setting that it stands in."""
    pattern: str
    used: bool = False
    """Whether it has matched a path."""
    regex: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        self.regex = re.compile(translate(self.pattern))

    def matches(self, path: str) -> bool:
        """Say whether a path matches, and remember it."""
        matches = self.regex.match(path) is not None
        self.used = self.used or matches
        return matches

    def sentence(self) -> str:
        """Return that it matched no image."""
        return f"{self.name}: {self.pattern!r} matches no image"


def read_ids(file: str) -> frozenset[str]:
    """Return the ids that a text file lists, one a line."""
    try:
        # utf-8-sig: editors on Windows begin a file with a byte-order mark, which is not a part of the first id.
        text = Path(file).expanduser().read_text(encoding="utf-8-sig")
    except (OSError, UnicodeError) as error:
        raise DatasetError(
            f"dataset.only={file!r} can't be read: {error}; give a text file in UTF-8 with one id a line"
        ) from error
    # Not splitlines(): it also splits at signs that may stand in a file's name. read_text turns '\r\n' into '\n'.
    ids = frozenset(line for line in text.split("\n") if line)
    if not ids:
        raise DatasetError(f"dataset.only={file!r} lists no ids; give a text file with one id a line")
    return ids


def _examples(names: Iterable[str], count: int = 3) -> str:
    """Return 'such as 'a', 'b'' with the first few names."""
    names = list(names)
    return ("such as " if len(names) > 1 else "") + ", ".join(repr(name) for name in names[:count])
