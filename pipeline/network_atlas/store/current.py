"""Fixed names for the tables of the newest snapshot: `atlas/layer=<slug>.parquet`, and so in `channel_stats/`.

A snapshot's files are named by their content, in `tables/`. People, and globs such as 'ROOT/atlas/*.parquet', read
fixed names, which always show the newest snapshot and nothing else. On a disk both names are one file (a hard link), so
that nothing is stored twice; on an object store, and where links are not possible, the second one is a copy.

A receipt says what the fixed names show. It is removed before the first of them changes and written after the last, so
that after a kill in between all of them are set again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from network_atlas.store.manifest import Manifest
from network_atlas.store.paths import CURRENT, current_path
from network_atlas.store.receipts import Receipt, commit, read_receipts
from network_atlas.store.root import Info, Store
from network_atlas.store.shards import FileEntry
from network_atlas.store.touched import committed

STAGE = "current"
RECEIPT = f"receipts/{STAGE}/tables.json"


def show(store: Store, manifest: Manifest) -> tuple[str, ...]:
    """Make the fixed names show this snapshot; return those that are removed, of layers that it does not have."""
    sources = {path: file for file in manifest.files if (path := current_path(file.path)) is not None}
    infos = {info.path: info for folder in CURRENT for info in store.infos(folder)}
    shown = _shown(store, infos)
    stale = [path for path, file in sources.items() if shown.get(path) != file.sha256]
    dropped = tuple(sorted(infos.keys() - sources.keys()))
    if not stale and not dropped:
        return ()
    store.delete(RECEIPT)
    for path in stale:
        store.copy(sources[path].path, path)
    for path in dropped:
        store.delete(path)
    files = tuple(replace(file, path=path) for path, file in sources.items())
    commit(store, Receipt(stage=STAGE, task="tables", keys=(), files=files, seconds=0.0))
    return dropped


def _shown(store: Store, infos: Mapping[str, Info]) -> dict[str, str]:
    """Return the hash of the content of each fixed name, of those that are there as they were set."""
    receipts = read_receipts(store, STAGE)
    files: Collection[FileEntry] = [file for receipt in receipts for file in receipt.files]
    sizes = committed(store, receipts, infos)
    return {file.path: file.sha256 for file in files if sizes.get(file.path) == file.size_bytes}
