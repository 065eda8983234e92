"""Manifests: immutable, numbered lists of the files of one snapshot of an atlas.

    manifests/00001.json, manifests/00002.json, ...

The highest number wins. A run that changed nothing publishes nothing. All files of a snapshot are named by their
content, so a later run overwrites none of them, and every snapshot can be read as long as `store.prune` has not removed
it. A manifest holds its own checksum: one that was cut or edited is named, and never read as another snapshot.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

from network_atlas.errors import CorruptShardError, StoreError
from network_atlas.fingerprints import fingerprint
from network_atlas.store.root import Store
from network_atlas.store.shards import FileEntry

FOLDER = "manifests"
LISTED = 20
"""Numbers of snapshots that an error message lists, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanGroup:
    """Layers that were scanned together, and the files with their part of the scan.

    The files may hold other layers too, of earlier weights: only the rows of these layers belong to the snapshot.
    """

    layers: tuple[str, ...]
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One snapshot. `identity` covers its content, the settings and files, but not its number, date and provenance."""

    number: int = 0
    """0 until it is published."""
    created: str
    version: str
    config: Mapping[str, object]
    """The settings that determine results, by dotted path."""
    upstream: Mapping[str, str]
    """Layer name to the hash of everything that determines its output."""
    files: tuple[FileEntry, ...]
    scans: tuple[ScanGroup, ...] = ()
    provenance: Mapping[str, object] = field(default_factory=dict)
    """How it was made: command, run, all settings, versions, hash of the network, number of examples."""

    @property
    def identity(self) -> str:
        return fingerprint(self.version, dict(self.config), dict(self.upstream), self.files)

    @property
    def size_bytes(self) -> int:
        """Return the bytes of all files of the snapshot; other snapshots may use the same files."""
        return sum(file.size_bytes for file in self.files)

    def under(self, folder: str) -> tuple[FileEntry, ...]:
        """Return the snapshot's files below a folder of the root."""
        return tuple(file for file in self.files if file.path.startswith(f"{folder}/"))


def manifest_path(number: int) -> str:
    """Return the path of a snapshot's manifest."""
    return f"{FOLDER}/{number:05d}.json"


def numbers(store: Store) -> list[int]:
    """Return the numbers of all snapshots, oldest first. Raises CorruptShardError for a file that is no manifest."""
    return sorted(_number(path) for path in store.list(FOLDER) if path.endswith(".json"))


def latest(store: Store) -> Manifest | None:
    """Return the newest snapshot, or None if nothing is published yet."""
    there = numbers(store)
    return _read(store, there[-1]) if there else None


def read_manifest(store: Store, number: int | None = None) -> Manifest:
    """Return a snapshot by its number, the newest one by default.

    Raises StoreError if it does not exist, naming those that do; CorruptShardError if its manifest is damaged.
    """
    there = numbers(store)
    if not there:
        raise StoreError(f"{store.root!r} has no snapshot yet; make one with: atlas run store.root={store.root}")
    if number is not None and number not in there:
        listed = ", ".join(map(str, there[-LISTED:]))
        more = f"{len(there) - LISTED} older ones, " if len(there) > LISTED else ""
        raise StoreError(f"{store.root!r} has no snapshot {number}; it has {more}{listed}.")
    return _read(store, there[-1] if number is None else number)


def publish(store: Store, manifest: Manifest) -> Manifest:
    """Publish a snapshot under the next number, unless the newest one is equal; return the newest one."""
    before = latest(store)
    manifest = replace(
        manifest,
        number=before.number + 1 if before else 1,
        files=tuple(sorted(manifest.files, key=lambda entry: entry.path)),
    )
    if before is not None and before.identity == manifest.identity:
        return before
    store.write(manifest_path(manifest.number), encoded(manifest))
    return manifest


def encoded(manifest: Manifest) -> bytes:
    """Return the bytes of a manifest's file, with its checksum."""
    content = json.loads(json.dumps(asdict(manifest)))
    return json.dumps({"checksum": fingerprint(content), **content}, indent=1).encode()


def _read(store: Store, number: int) -> Manifest:
    return parse_manifest(store, manifest_path(number))


def parse_manifest(store: Store, path: str) -> Manifest:
    """Return the manifest in a file whose name is its number. Raises CorruptShardError if it was cut or changed."""
    number = _number(path)
    try:
        raw = json.loads(store.read(path))
        checksum = raw.pop("checksum")
        if checksum != fingerprint(raw) or raw["number"] != number:
            raise ValueError("it was changed after it was written")
        files = tuple(FileEntry(**entry) for entry in raw.pop("files"))
        scans = tuple(ScanGroup(**{name: tuple(value) for name, value in group.items()}) for group in raw.pop("scans"))
        return Manifest(files=files, scans=scans, **raw)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CorruptShardError(
            f"{path!r} under store.root={store.root!r} is not a whole manifest ({error!r}): snapshot {number} can't be "
            "read. Restore the file, or delete it: that gives the snapshot up, and no result is lost."
        ) from error


def _number(path: str) -> int:
    stem = path.rsplit("/", 1)[-1].removesuffix(".json")
    if not stem.isdigit() or stem != f"{int(stem):05d}":
        raise CorruptShardError(f"{path!r} is not a manifest: names are numbers such as 00001.json. Remove it.")
    return int(stem)
