"""Count what a dataset's listing leaves out, so that nothing is skipped in silence.

skipped = Skipped()
skipped.add_file("a/v.heic")
skipped.sentences()     # ["skipped 1 file of another kind: 1 .heic ('a/v.heic')"]
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import NamedTuple, TypeVar

from network_atlas.errors import counted

_Kind = TypeVar("_Kind")

KINDS_NAMED = 6
"""Suffixes and reasons that a sentence names; the others are only counted."""
LONGEST_SUFFIX = 12
"""What follows the last dot of a longer name is a part of the name, not a kind of file."""


class Reason(NamedTuple):
    """Why an image is left out, as '2 <noun>s<detail>'."""

    noun: str
    detail: str = ""


UNREADABLE = Reason("unreadable image")
"""Listed as an example, which a scan will record as a failure."""


@dataclass(slots=True)
class Skipped:
    """Counts of what was left out, each with the first name in the order of names."""

    suffixes: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Files whose suffix is not an image's."""
    reasons: dict[Reason, tuple[int, str]] = field(default_factory=dict)
    """Images that are left out for another reason."""

    def add_file(self, name: str) -> None:
        """Count a file whose suffix is not an image's."""
        suffix = PurePosixPath(name).suffix.lower()
        _add(self.suffixes, suffix if len(suffix) <= LONGEST_SUFFIX else "", 1, name)

    def add(self, name: str, reason: Reason) -> None:
        """Count an image that is left out for a reason."""
        _add(self.reasons, reason, 1, name)

    def update(self, other: Skipped) -> None:
        """Add the counts of another listing."""
        for suffix, (count, name) in other.suffixes.items():
            _add(self.suffixes, suffix, count, name)
        for reason, (count, name) in other.reasons.items():
            _add(self.reasons, reason, count, name)

    def sentences(self) -> list[str]:
        """Return one sentence for the files of other kinds, and one for each other reason."""
        sentences = []
        if self.suffixes:
            total = sum(count for count, _ in self.suffixes.values())
            kinds = "file of another kind" if total == 1 else "files of other kinds"
            sentences.append(f"skipped {total:,} {kinds}: {_listed(self.suffixes)}")
        for reason, (count, name) in sorted(self.reasons.items()):
            sentences.append(f"skipped {counted(count, reason.noun)}{reason.detail}, {_such_as(count)}{name!r}")
        return sentences


def _add(counts: dict[_Kind, tuple[int, str]], kind: _Kind, count: int, name: str) -> None:
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
