"""An index of images inside larger files: which shard holds which, and where in it.

One pass over the shards makes it; it is kept per process, about 180 bytes an image, and made anew when a shard changes.
"""

from __future__ import annotations

import bisect
import itertools
import threading
from array import array
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from network_atlas.errors import DatasetError, UnreadableImageError

MISSING = -1
UNNAMED = "give dataset.ids=shard to put the shard's name before each"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """Where one image is."""

    shard: int
    first: int
    """The offset in a tar, the row group in a Parquet file."""
    second: int
    """The size in a tar, the row of the group in a Parquet file."""
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberIndex:
    """Every image of all shards, sorted by name."""

    names: list[str]
    numbers: NDArray[np.int64]
    """(images, 5): shard, first, second, size in bytes, number of the label."""
    labels: list[str]
    reasons: dict[str, str]
    """What is wrong with those that can't be read, by name."""

    def sizes(self) -> Iterator[tuple[str, int | None]]:
        """Yield (name, size in bytes) of each image, None for one that can't be read."""
        for name, size in zip(self.names, self.numbers[:, 3], strict=True):
            yield name, None if size == MISSING else int(size)

    def find(self, name: str) -> Member:
        """Return where an image is; raise UnreadableImageError if it is nowhere, or can't be read."""
        if name in self.reasons:
            raise UnreadableImageError(self.reasons[name])
        shard, first, second, _, label = (int(number) for number in self.numbers[self._row(name)])
        return Member(shard=shard, first=first, second=second, label=self.labels[label])

    def label(self, name: str) -> str:
        """Return an image's label, '' when unknown."""
        return self.labels[int(self.numbers[self._row(name), 4])]

    def _row(self, name: str) -> int:
        row = bisect.bisect_left(self.names, name)
        if row == len(self.names) or self.names[row] != name:
            raise UnreadableImageError("no shard of the dataset holds it")
        return row


@dataclass(slots=True)
class IndexBuilder:
    """Collects images in the order of the shards."""

    shards: list[str]
    """Their names, for messages."""
    names: list[str] = field(default_factory=list)
    numbers: array[int] = field(default_factory=lambda: array("q"))
    labels: dict[str, int] = field(default_factory=lambda: {"": 0})
    reasons: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, *, shard: int, first: int, second: int, size: int, label: str = "") -> None:
        """Add one image."""
        self.names.append(name)
        self.numbers.extend((shard, first, second, size, self.labels.setdefault(label, len(self.labels))))

    def add_unreadable(self, name: str, *, shard: int, reason: str) -> None:
        """Add something that will turn out unreadable, for `reason`."""
        self.add(name, shard=shard, first=0, second=0, size=MISSING)
        self.reasons[name] = reason

    def build(self, *, drop_repeated: bool = False) -> MemberIndex:
        """Return the index. Raises DatasetError for a name that two images have, unless one of them may go."""
        order = sorted(range(len(self.names)), key=lambda row: (self.names[row], row))
        kept = [row for place, row in enumerate(order) if not place or self.names[row] != self.names[order[place - 1]]]
        numbers = np.array(self.numbers, dtype=np.int64).reshape(-1, 5)
        if len(kept) < len(order) and not drop_repeated:
            self._refuse_repeated(order, numbers)
        names = [self.names[row] for row in kept]
        return MemberIndex(names=names, numbers=numbers[kept], labels=list(self.labels), reasons=self.reasons)

    def _refuse_repeated(self, order: list[int], numbers: NDArray[np.int64]) -> None:
        first, second = next(pair for pair in itertools.pairwise(order) if self.names[pair[0]] == self.names[pair[1]])
        where = " and ".join(repr(self.shards[int(numbers[row, 0])]) for row in (first, second))
        raise DatasetError(f"two images of the dataset are called {self.names[first]!r}, in {where}; {UNNAMED}")


_known: dict[Hashable, tuple[Hashable, MemberIndex]] = {}
_lock = threading.Lock()


def remembered(owner: Hashable, stamp: Hashable | None, build: Callable[[], MemberIndex]) -> MemberIndex:
    """Return the owner's index, built anew unless the last one has the same `stamp`; with None any one will do."""
    with _lock:
        found = _known.get(owner)
        if found is None or stamp not in (None, found[0]):
            found = (stamp, build())
            _known[owner] = found
        return found[1]
