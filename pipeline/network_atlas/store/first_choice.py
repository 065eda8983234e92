"""What 'auto' means in a root: what it meant in its first run, which is kept there.

Keys hold what 'auto' stands for. If every machine chose for itself, a run that is started from a laptop would make
results again that a server made.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from network_atlas.store.root import Store
from network_atlas.store.swap import open_swap

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class FirstChoice:
    """A choice that the first run of a root makes for all later ones."""

    file: str
    """Where a root keeps it."""
    allowed: tuple[str, ...]

    def kept(self, store: Store) -> str:
        """Return what is kept; '' where nothing is, or the file is damaged: then it is written anew."""
        data = store.read_if_there(self.file)
        try:
            kept = json.loads(data)[AUTO] if data else ""
        except (ValueError, TypeError, KeyError):
            return ""
        return kept if kept in self.allowed else ""

    def keep(self, store: Store, chosen: str, **why: object) -> bool:
        """Keep what is chosen unless something is kept; say whether that is what the root has now.

        It is not if another run, of another share and on another machine, was first in this moment. `why` are plain
        values that are written beside it for whoever reads the file.
        """
        if not self.kept(store):
            swap = open_swap(store)
            seen = swap.read(self.file)
            swap.replace(self.file, json.dumps({AUTO: chosen, **why}).encode(), seen)
        return self.kept(store) == chosen
