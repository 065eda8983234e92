"""One share of a sweep, so that independent runs can work on one root at the same time (`sweep.share=2/8`). Pure.

    Share.of("2/8").has(key)

The share of a result follows from its key alone. Every key is in exactly one of the n shares, whatever else is in the
sweep and whatever is done already. So shares are only roughly equal: with 100 blocks and 8 shares, a share has 12.5
blocks on average, with a standard deviation of 3.
"""

from __future__ import annotations

from dataclasses import dataclass

from network_atlas.fingerprints import fingerprint


@dataclass(frozen=True, slots=True)
class Share:
    """Share `number` (from 1) of `count`; 1 of 1 is the whole."""

    number: int
    count: int

    @classmethod
    def of(cls, text: str) -> Share:
        """Return the share that a checked `sweep.share` names; '' is the whole."""
        return cls(*map(int, text.split("/"))) if text else WHOLE

    def has(self, key: str) -> bool:
        """Say whether this share makes the result."""
        # The first 64 bits of the hash: enough for remainders that are equally likely.
        return self.count == 1 or int(fingerprint("share", key)[:16], 16) % self.count == self.number - 1


WHOLE = Share(1, 1)
