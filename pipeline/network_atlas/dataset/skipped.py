"""Count what a dataset's listing leaves out, so that nothing is skipped in silence.

skipped = Skipped()
skipped.add_file("a/v.heic")
skipped.sentences()     # ["skipped 1 file of another kind: 1 .heic ('a/v.heic')"]
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePosixPath

from network_atlas.errors import counted

KINDS_NAMED = 6
"""Suffixes and reasons that a sentence names; the others are only counted."""
LONGEST_SUFFIX = 12
"""What follows the last dot of a longer name is a part of the name, not a kind of file."""


@dataclass(slots=True)
class Skipped:
    """Counts of what was left out, each with the first name in the order of names."""

    suffixes: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Files whose suffix is not an image's."""
    reasons: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Images that are left out for another reason."""

    def add_file(self, name: str) -> None:
        """Count a file whose suffix is not an image's."""
        suffix = PurePosixPath(name).suffix.lower()
        _add(self.suffixes, suffix if len(suffix) <= LONGEST_SUFFIX else "", 1, name)

    def add(self, name: str, reason: str) -> None:
        """Count an image that is left out for a reason, such as 'hidden image'; the plural takes an s."""
        _add(self.reasons, reason, 1, name)

    def update(self, other: Skipped) -> None:
        """Add the counts of another listing."""
        for mine, theirs in ((self.suffixes, other.suffixes), (self.reasons, other.reasons)):
            for kind, (count, name) in theirs.items():
                _add(mine, kind, count, name)

    def sentences(self) -> list[str]:
        """Return one sentence for the files of other kinds, and one for each other reason."""
        sentences = []
        if self.suffixes:
            total = sum(count for count, _ in self.suffixes.values())
            kinds = "file of another kind" if total == 1 else "files of other kinds"
            sentences.append(f"skipped {total:,} {kinds}: {_listed(self.suffixes)}")
        for reason, (count, name) in sorted(self.reasons.items()):
            sentences.append(f"skipped {counted(count, reason)}, {_such_as(count)}{name!r}")
        return sentences


def _add(counts: dict[str, tuple[int, str]], kind: str, count: int, name: str) -> None:
    before, first = counts.get(kind, (0, name))
    counts[kind] = before + count, min(first, name)


def _listed(suffixes: dict[str, tuple[int, str]]) -> str:
    """Return '2 .txt (such as 'a.txt'), 1 .heic ('v.heic')', the most frequent first."""
    ordered = sorted(suffixes.items(), key=lambda item: (-item[1][0], item[0]))
    words = [
        f"{count:,} {suffix or 'without a suffix'} ({_such_as(count)}{name!r})"
        for suffix, (count, name) in ordered[:KINDS_NAMED]
    ]
    others = sum(count for _, (count, _) in ordered[KINDS_NAMED:])
    return ", ".join(words + ([f"{others:,} others"] if others else []))


def _such_as(count: int) -> str:
    return "such as " if count > 1 else ""
