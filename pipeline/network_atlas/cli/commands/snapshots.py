"""`atlas snapshots`: list the snapshots of a root, and what each changed."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from rich.markup import escape

from network_atlas.cli.amounts import size
from network_atlas.cli.console import output, print_json, table
from network_atlas.cli.exit_codes import DONE
from network_atlas.cli.roots import root_of
from network_atlas.errors import CorruptShardError, StoreError
from network_atlas.store.changes import Changes, changes, own_bytes
from network_atlas.store.manifest import Manifest, numbers, read_manifest
from network_atlas.store.root import Store

FORMAT = 1
"""Version of the JSON object. Fields may be added; none is renamed or gets another meaning."""
HASH_DIGITS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One snapshot, or the reason why it can't be read."""

    number: int
    manifest: Manifest | None
    damage: str = ""
    changes: Changes | None = None
    """None for the first one, and after one that can't be read."""
    own_bytes: int = 0


def command(options: argparse.Namespace) -> int:
    """Print the snapshots, oldest first; return the exit code."""
    root = root_of(options.root, command="snapshots")
    listed = list(snapshots_of(Store.open(root)))
    if not listed:
        raise StoreError(f"{root!r} has no snapshot yet; make one with: atlas run store.root={root}")
    if options.json:
        print_json({"format": FORMAT, "root": root, "snapshots": [_plain(snapshot) for snapshot in listed]})
        return DONE
    rows = table("snapshot", "created", "network", counts=("layers", "only here", "shared"), words=("changed",))
    for snapshot in listed:
        rows.add_row(*map(escape, _cells(snapshot)))
    output().print(rows)
    return DONE


def snapshots_of(store: Store) -> Iterator[Listed]:
    """Yield the snapshots, oldest first; those with a damaged manifest too."""
    manifests: dict[int, Manifest | str] = {}
    for number in numbers(store):
        try:
            manifests[number] = read_manifest(store, number)
        except CorruptShardError as error:
            manifests[number] = str(error)
    own = own_bytes([manifest for manifest in manifests.values() if isinstance(manifest, Manifest)])
    before: Manifest | None = None
    for number, manifest in manifests.items():
        if isinstance(manifest, str):
            before = None
            yield Listed(number=number, manifest=None, damage=manifest)
            continue
        changed = changes(before, manifest) if before else None
        before = manifest
        yield Listed(number=number, manifest=manifest, changes=changed, own_bytes=own[number])


def network_of(manifest: Manifest) -> str:
    """Return the first digits of the hash of the network's weights and code."""
    return str(manifest.provenance.get("network", ""))[:HASH_DIGITS]


def _cells(snapshot: Listed) -> tuple[str, ...]:
    manifest = snapshot.manifest
    if manifest is None:
        return (str(snapshot.number), "", "", "", "", "", f"damaged: {snapshot.damage}")
    changed = snapshot.changes.in_words if snapshot.changes else "" if snapshot.number > 1 else "the first"
    return (
        str(snapshot.number),
        manifest.created,
        network_of(manifest),
        f"{len(manifest.upstream):,}",
        size(snapshot.own_bytes),
        size(manifest.size_bytes - snapshot.own_bytes),
        changed,
    )


def _plain(snapshot: Listed) -> dict[str, object]:
    manifest = snapshot.manifest
    if manifest is None:
        return {"number": snapshot.number, "damage": snapshot.damage}
    return {
        "number": snapshot.number,
        "damage": None,
        "created": manifest.created,
        "version": manifest.version,
        "network": manifest.provenance.get("network"),
        "run": manifest.provenance.get("run"),
        "command": manifest.provenance.get("command"),
        "layers": len(manifest.upstream),
        "files": len(manifest.files),
        "size_bytes": manifest.size_bytes,
        "own_bytes": snapshot.own_bytes,
        "changes": asdict(snapshot.changes) if snapshot.changes else None,
    }
