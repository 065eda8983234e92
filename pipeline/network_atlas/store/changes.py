"""What one snapshot changed against another, from their manifests alone. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from network_atlas.config.newer import in_common
from network_atlas.errors import counted
from network_atlas.store.manifest import Manifest

LISTED = 3
"""Names that a sentence lists before it counts the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """The difference between two snapshots."""

    recomputed: tuple[str, ...]
    """Layers whose upstream hash is another: the network's weights or code changed in them, or before them."""
    added: tuple[str, ...]
    removed: tuple[str, ...]
    """Layers that only one of the two has."""
    layers: int
    """Layers of the newer one."""
    settings: tuple[str, ...]
    """Dotted paths of settings that differ; not those that one of the versions did not know."""
    dataset: bool
    """Whether the lists of examples are others, span by span: by id, label, order, or where the spans are cut."""
    rescanned: tuple[str, ...]
    """Layers of the same upstream hash whose scan has other results: the content of images changed, or the machine."""
    version: str
    """'0.1.0 -> 0.2.0' if the package's version differs, else ''."""
    pictures: int
    """Pictures in files that the older one does not list. Made earlier or not: a manifest counts rows of files."""

    @property
    def in_words(self) -> str:
        """Return the changes as one line."""
        parts = [
            f"{_listed(self.recomputed)} recomputed ({len(self.recomputed)} of {counted(self.layers, 'layer')})"
            if self.recomputed
            else "",
            f"{_listed(self.added)} added" if self.added else "",
            f"{_listed(self.removed)} removed" if self.removed else "",
            "other examples, or the same in other spans" if self.dataset else "",
            f"{_listed(self.rescanned)} scanned again, with other results"
            if self.rescanned and not self.dataset
            else "",
            f"settings: {_listed(self.settings)}" if self.settings else "",
            f"network-atlas {self.version}" if self.version else "",
            f"{counted(self.pictures, 'picture')} in new files" if self.pictures else "",
        ]
        return "; ".join(part for part in parts if part) or "tables only"


def changes(before: Manifest, after: Manifest) -> Changes:
    """Return what `after` changed."""
    old, new = before.upstream, after.upstream
    known = {file.path for file in before.files}
    examples = [{file.path for file in manifest.under("examples")} for manifest in (before, after)]
    settings = in_common(before.config, after.config), in_common(after.config, before.config)
    paths = dict.fromkeys([*settings[1], *settings[0]])
    return Changes(
        recomputed=tuple(layer for layer in new if layer in old and new[layer] != old[layer]),
        added=tuple(layer for layer in new if layer not in old),
        removed=tuple(layer for layer in old if layer not in new),
        layers=len(new),
        settings=tuple(path for path in paths if settings[0].get(path, ...) != settings[1].get(path, ...)),
        dataset=examples[0] != examples[1],
        rescanned=tuple(
            layer for layer in new if new[layer] == old.get(layer) and before.scan_of(layer) != after.scan_of(layer)
        ),
        version=f"{before.version} -> {after.version}" if before.version != after.version else "",
        pictures=sum(file.rows for file in after.under("visualizations") if file.path not in known),
    )


def own_bytes(snapshots: Sequence[Manifest]) -> dict[int, int]:
    """Return, by number, the bytes of the files that only this snapshot lists: what removing it alone would free."""
    users: dict[str, int] = {}
    for manifest in snapshots:
        for file in manifest.files:
            users[file.path] = users.get(file.path, 0) + 1
    return {
        manifest.number: sum(file.size_bytes for file in manifest.files if users[file.path] == 1)
        for manifest in snapshots
    }


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
