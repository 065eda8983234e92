"""Find the checkpoints that a pattern names, say which are complete, and copy one for a run.

A run reads its checkpoint many times, in several processes. A training script may write the same file anew meanwhile
(`last.ckpt`), so runs get a copy, whose name holds the hash of its content. From an object store this is the download.

A JSON index and the files that it names are one checkpoint: complete, changed and copied together. The copy of the
index names the copies of the files, so that its content stands for all.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from network_atlas.errors import ConfigError, DatasetError
from network_atlas.files.filesystems import split_query
from network_atlas.files.finding import DataFile, find_beside, list_files
from network_atlas.files.reading import read_through
from network_atlas.models.checkpoint_index import ENDING, parse_index, part_names, with_names

BUFFER_BYTES = 8 << 20
HASH_DIGITS = 12
"""Of a content's hash, in the name of its copy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A checkpoint as a listing shows it: a file, or an index with the files that it names."""

    path: str
    size_bytes: int
    """Of all its files."""
    changed_ns: int
    """Time of the last change to any of its files, in nanoseconds since 1970."""

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
    found = [_as_one(file, _parts_there(file)) for file in chosen]
    return sorted(found, key=lambda checkpoint: (checkpoint.changed_ns, checkpoint.path)), marked


def _as_one(file: DataFile, parts: Sequence[DataFile]) -> Checkpoint:
    files = (file, *parts)
    return Checkpoint(
        path=file.path, size_bytes=sum(each.size for each in files), changed_ns=max(each.changed_ns for each in files)
    )


def _parts_there(file: DataFile) -> tuple[DataFile, ...]:
    """Return the files that an index names and that are there; of another file none."""
    try:
        return find_beside(file, part_names(_index(file)))
    except DatasetError:  # it is gone, or written anew: the copy, which reads it again, says so
        return ()


def _index(file: DataFile) -> dict[str, Any]:
    if not file.path.endswith(ENDING):
        return {}
    with read_through(file, buffer_bytes=BUFFER_BYTES) as source:
        return parse_index(source.read())


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

    Raises DatasetError if a file can't be read, is missing, or has changed since it was listed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = _again(checkpoint, pattern)
    index = _index(file)
    parts = find_beside(file, part_names(index))
    if missing := set(part_names(index)) - {_name(part) for part in parts}:
        raise DatasetError(f"{checkpoint.path!r} names the file {min(missing)!r}, which is not beside it")
    if (now := _as_one(file, parts)) != checkpoint:
        sizes = f"{now.size_bytes} bytes, and {checkpoint.size_bytes} listed"
        raise DatasetError(f"{checkpoint.path!r} changes: {sizes}")
    if not index:
        return _copied(file, folder)
    names = {_name(part): Path(_copied(part, folder).path).name for part in parts}
    return _put([with_names(index, names)], checkpoint.name, folder)


def _again(checkpoint: Checkpoint, pattern: str) -> DataFile:
    """Return a checkpoint's file, or the index of several, as it is now."""
    listed = DataFile(pattern, checkpoint.path, checkpoint.name, checkpoint.size_bytes, checkpoint.changed_ns)
    for file in find_beside(listed, [checkpoint.name]):
        return file
    raise DatasetError(f"{checkpoint.path!r} is gone")


def _name(file: DataFile) -> str:
    return os.path.basename(file.path)


def _copied(file: DataFile, folder: Path) -> Copy:
    def parts() -> Iterator[bytes]:
        count = 0
        with read_through(file, buffer_bytes=BUFFER_BYTES) as source:
            while part := source.read(BUFFER_BYTES):
                count += len(part)
                yield part
        if count != file.size:
            raise DatasetError(f"{file.path!r} changes: {count} bytes, and {file.size} listed")

    return _put(parts(), _name(file), folder)


def _put(parts: Iterable[bytes], name: str, folder: Path) -> Copy:
    """Write a file below `folder`, under its name and the hash of its content."""
    content = hashlib.sha256()
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".", delete=False) as temporary:
        try:
            for part in parts:
                content.update(part)
                temporary.write(part)
            temporary.flush()
            os.fsync(temporary.fileno())
            path = folder / _safe_name(name, content.hexdigest())
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
    kept = {name for path in keep for name in (Path(path).name, *_parts_of_copy(Path(path)))}
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name not in kept and re.search(rf"-[0-9a-f]{{{HASH_DIGITS}}}(\.[^.]*)?$", path.name):
            path.unlink(missing_ok=True)


def _parts_of_copy(path: Path) -> list[str]:
    is_index = path.suffix == ENDING and path.is_file()
    return part_names(parse_index(path.read_bytes())) if is_index else []


def plain_checkpoint(checkpoint: Checkpoint) -> dict[str, object]:
    """Return a checkpoint as plain values."""
    return asdict(checkpoint)
