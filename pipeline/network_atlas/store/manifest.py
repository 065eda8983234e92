"""Manifests: immutable, numbered lists of the files of one snapshot of an atlas.

The highest number wins. A run that changed nothing publishes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from network_atlas.errors import CorruptShardError
from network_atlas.fingerprints import fingerprint
from network_atlas.store.root import Store
from network_atlas.store.shards import FileEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One snapshot. `identity` covers its content, the settings and files, but not its number and date."""

    number: int
    created: str
    version: str
    config: Mapping[str, object]
    upstream: Mapping[str, str]
    """Layer name to the hash of everything that determines its output."""
    files: tuple[FileEntry, ...]

    @property
    def identity(self) -> str:
        return fingerprint(self.version, self.config, dict(self.upstream), self.files)


def latest(store: Store) -> Manifest | None:
    """Return the newest snapshot, or None if nothing is published yet."""
    paths = [path for path in store.list("manifests") if path.endswith(".json")]
    if not paths:
        return None
    path = max(paths, key=_number)  # as numbers: as text, 100000 would come before 99999
    try:
        raw = json.loads(store.read(path))
        return Manifest(files=tuple(FileEntry(**entry) for entry in raw.pop("files")), **raw)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CorruptShardError(f"{path!r} is not a manifest ({error}). Delete it and run again.") from error


def publish(
    store: Store,
    *,
    created: str,
    version: str,
    config: Mapping[str, object],
    upstream: Mapping[str, str],
    files: Sequence[FileEntry],
) -> Manifest:
    """Publish a snapshot under the next number, unless the newest one is equal; return the newest one."""
    before = latest(store)
    ordered = tuple(sorted(files, key=lambda entry: entry.path))
    manifest = Manifest(
        number=before.number + 1 if before else 1,
        created=created,
        version=version,
        config=config,
        upstream=upstream,
        files=ordered,
    )
    if before is not None and before.identity == manifest.identity:
        return before
    store.write(f"manifests/{manifest.number:05d}.json", json.dumps(asdict(manifest), indent=1).encode())
    return manifest


def _number(path: str) -> int:
    stem = path.rsplit("/", 1)[-1].removesuffix(".json")
    if not stem.isdigit():
        raise CorruptShardError(f"{path!r} is not a manifest: names are numbers such as 00001.json. Remove it.")
    return int(stem)
