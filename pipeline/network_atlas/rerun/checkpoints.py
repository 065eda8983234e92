"""Find the checkpoints that a pattern names, say which are complete, and copy one for a run.

A run reads its checkpoint many times, in several processes. A training script may write the same file anew meanwhile
(`last.ckpt`), so runs get a copy, whose name holds the hash of its content. From an object store this is the download.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from network_atlas.errors import ConfigError, DatasetError
from network_atlas.files.filesystems import split_query
from network_atlas.files.finding import DataFile, list_files
from network_atlas.files.reading import read_through

BUFFER_BYTES = 8 << 20
HASH_DIGITS = 12
"""Of a content's hash, in the name of its copy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A checkpoint file as a listing shows it."""

    path: str
    size_bytes: int
    changed_ns: int
    """Time of its last change, in nanoseconds since 1970."""

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[-1]


@dataclass(frozen=True, slots=True)
class Copy:
    """A checkpoint's content in a file of its own."""

    path: str
    sha256: str


def list_checkpoints(pattern: str, marker: str = "") -> tuple[list[Checkpoint], frozenset[str]]:
    """Return the files that `pattern` names, oldest first, and the paths of those with a marker file beside them.

    A marker has its checkpoint's name with `marker` at the end; markers are no checkpoints, and hidden files neither.
    Raises ConfigError if the place can't be listed. A folder that does not exist yet holds none.
    """
    # Markers are listed by a pattern of their own, which the checkpoints' may not match.
    files = _listed(pattern)
    markers = _listed(_with_ending(pattern, marker)) if marker else ()
    marked = frozenset(file.path.removesuffix(marker) for file in markers)
    chosen = [file for file in files if not file.is_hidden and not (marker and file.path.endswith(marker))]
    ordered = sorted(chosen, key=lambda file: (file.changed_ns, file.path))
    return [Checkpoint(path=file.path, size_bytes=file.size, changed_ns=file.changed_ns) for file in ordered], marked


def _with_ending(pattern: str, ending: str) -> str:
    """Return a pattern for names that end so; in a URI the query stays behind it."""
    path, query = split_query(pattern)
    return f"{path}{ending}{query}"


def _listed(pattern: str) -> Sequence[DataFile]:
    try:
        return list_files(pattern)
    except DatasetError as error:
        if "does not exist" in str(error):
            return ()
        raise ConfigError(str(error).replace("dataset.root=", "PATTERN ")) from error


def complete(now: Sequence[Checkpoint], before: Mapping[str, Checkpoint], marked: frozenset[str]) -> list[Checkpoint]:
    """Return the checkpoints that are written to the end: marked, or of the same size and time as a look before."""
    return [each for each in now if each.path in marked or (each.size_bytes and before.get(each.path) == each)]


def copied(checkpoint: Checkpoint, pattern: str, folder: Path) -> Copy:
    """Return a copy of a checkpoint below `folder`, named by its content; one that is there already is kept.

    Raises DatasetError if the file can't be read, or has another size than when it was listed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = DataFile(pattern, checkpoint.path, checkpoint.name, checkpoint.size_bytes, checkpoint.changed_ns)
    content, count = hashlib.sha256(), 0
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".", delete=False) as temporary:
        try:
            with read_through(file, buffer_bytes=BUFFER_BYTES) as source:
                while part := source.read(BUFFER_BYTES):
                    content.update(part)
                    temporary.write(part)
                    count += len(part)
            if count != checkpoint.size_bytes:
                listed = checkpoint.size_bytes
                raise DatasetError(f"{checkpoint.path!r} changes: {count} bytes, and {listed} listed")
            temporary.flush()
            os.fsync(temporary.fileno())
            path = folder / _safe_name(checkpoint.name, content.hexdigest())
            os.replace(temporary.name, path)
        except BaseException:
            os.unlink(temporary.name)
            raise
    return Copy(str(path), content.hexdigest())


def _safe_name(name: str, digest: str) -> str:
    stem, ending = os.path.splitext(re.sub(r"[^A-Za-z0-9._-]+", "_", name))
    return f"{stem}-{digest[:HASH_DIGITS]}{ending}"


def remove_copies(folder: Path, *, keep: Sequence[str]) -> None:
    """Remove the copies that an earlier run made, except those at the paths `keep`."""
    kept = {Path(path).name for path in keep}
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name not in kept and re.search(rf"-[0-9a-f]{{{HASH_DIGITS}}}(\.[^.]*)?$", path.name):
            path.unlink(missing_ok=True)


def plain_checkpoint(checkpoint: Checkpoint) -> dict[str, object]:
    """Return a checkpoint as plain values."""
    return asdict(checkpoint)
