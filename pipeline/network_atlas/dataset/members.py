"""An index of images inside larger files: in which shard each lies, and where in it.

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

from network_atlas.dataset.skipped import Reason, Skipped
from network_atlas.errors import DatasetError, UnreadableImageError

MISSING = -1
"""The size of what can't be read."""
REPEATED, RELABELLED = Reason("repeated image"), Reason("repeated image", " with another label")


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """The place of one image in the shards."""

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
    """Shape `(images, 5)`: shard, first, second, size in bytes, number of the label."""
    labels: list[str]
    reasons: dict[str, str]
    """The reason for each image that can't be read, by name."""
    skipped: Skipped
    """The other content of the shards."""

    def sizes(self) -> Iterator[tuple[str, int | None]]:
        """Yield (name, size in bytes) of each image, None for one that can't be read."""
        for name, size in zip(self.names, self.numbers[:, 3], strict=True):
            yield name, None if size == MISSING else int(size)

    def find(self, name: str) -> Member:
        """Return where an image is; raise UnreadableImageError for an unknown name, or one that can't be read."""
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
    skipped: Skipped = field(default_factory=Skipped)

    def add(self, name: str, *, shard: int, first: int, second: int, size: int, label: str = "") -> None:
        """Add one image."""
        self.names.append(name)
        self.numbers.extend((shard, first, second, size, self.labels.setdefault(label, len(self.labels))))

    def add_unreadable(self, name: str, *, shard: int, reason: str) -> None:
        """Add something that will turn out unreadable, for `reason`."""
        self.add(name, shard=shard, first=0, second=0, size=MISSING)
        self.reasons[name] = reason

    def build(self, *, drop_repeated: bool = False) -> MemberIndex:
        """Return the index.

        Of a name that comes twice, the first is kept and the others are counted as skipped with `drop_repeated`, for
        names that mean the same image. Else raises DatasetError with both places and the fix.
        """
        order = sorted(range(len(self.names)), key=lambda row: (self.names[row], row))
        numbers = np.array(self.numbers, dtype=np.int64).reshape(-1, 5)
        repeated = [pair for pair in itertools.pairwise(order) if self.names[pair[0]] == self.names[pair[1]]]
        if repeated and not drop_repeated:
            self._refuse(repeated, numbers)
        for first, second in repeated:
            same_label = numbers[first, 4] == numbers[second, 4]
            self.skipped.add(self.names[second], REPEATED if same_label else RELABELLED)
        dropped = {second for _, second in repeated}
        kept = [row for row in order if row not in dropped]
        return MemberIndex(
            names=[self.names[row] for row in kept],
            numbers=numbers[kept],
            labels=list(self.labels),
            reasons=self.reasons,
            skipped=self.skipped,
        )

    def _refuse(self, repeated: list[tuple[int, int]], numbers: NDArray[np.int64]) -> None:
        """Raise DatasetError for pairs of images with one name."""
        within = [pair for pair in repeated if numbers[pair[0], 0] == numbers[pair[1], 0]]
        first, second = (within or repeated)[0]
        shards = dict.fromkeys(self.shards[int(numbers[row, 0])] for row in (first, second))
        # Names repeat within one shard in Parquet only: of a name that comes twice in a tar the last counts.
        fix = (
            "give dataset.ids=content to call images by their SHA-256, or another dataset.name_column"
            if within
            else "give dataset.ids=shard to put the shard's name before each"
        )
        where = " and ".join(map(repr, shards))
        raise DatasetError(f"two images of the dataset are called {self.names[first]!r}, in {where}; {fix}")


_known: dict[Hashable, tuple[Hashable, MemberIndex]] = {}
_lock = threading.Lock()


def remembered(owner: Hashable, stamp: Hashable | None, build: Callable[[], MemberIndex]) -> MemberIndex:
    """Return the owner's index, built anew unless the last one has the same `stamp`; with None any index will do."""
    with _lock:
        last = _known.get(owner)
        if last is None or stamp not in (None, last[0]):
            last = (stamp, build())
            _known[owner] = last
        return last[1]
