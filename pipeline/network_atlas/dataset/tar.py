"""Images in tar files, as webdataset writes them.

    train-000.tar:  cat/01.jpg  cat/01.cls  dog/07.jpg  dog/07.json ...

A member's id is its name in the tar: the same in whichever shard it lies. One pass over the headers finds where every
image begins; after that each is read by itself. Nothing is unpacked, so a member's name leads nowhere; links and names
with '..' are recorded as unreadable. Of a torn tar everything before the tear is kept, and the tar itself stands among
the failures under its own name. Compressed tars can't be read at random and are refused.
"""

from __future__ import annotations

import json
import logging
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from network_atlas.dataset.folder import SUFFIXES, escape, path_label
from network_atlas.dataset.members import IndexBuilder, MemberIndex, remembered
from network_atlas.errors import DatasetError
from network_atlas.files.remote import RemoteFile, find_files, read_part, read_through

log = logging.getLogger(__name__)

COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
SIDECARS = (".cls", ".json")
SIDECAR_BYTES = 1 << 20
"""Larger ones hold no label."""
BUFFER_BYTES = 1 << 16
FIX = "set dataset.root to a folder of .tar files, one such file, or a pattern such as 'train-{000..255}.tar'"


@dataclass(frozen=True, slots=True, kw_only=True)
class TarFiles:
    """The images in the tar files under `root`."""

    root: str
    label_by: str
    ids: str

    def check(self) -> None:
        """Raise DatasetError unless there is at least one tar, with at least one image."""
        if not self.root.strip():
            raise DatasetError(f"dataset.root is empty; {FIX}")
        if not self._shards():
            raise DatasetError(f"dataset.root={self.root!r} holds no .tar files; {self._why_none()}{FIX}")
        if not self._index().names:
            raise DatasetError(f"the tar files of dataset.root={self.root!r} hold no images ({', '.join(SUFFIXES)})")

    def sizes(self) -> Iterator[tuple[str, int | None]]:
        """See `Files`. The headers are read anew only when a tar changed."""
        yield from self._index().sizes()

    def content(self, path: str) -> bytes:
        """See `Files`."""
        index = self._index(listed=False)
        member = index.find(path)
        return read_part(_last[self][member.shard], offset=member.first, size=member.second)

    def label(self, path: str) -> str:
        """Return the label that the folder, the name, or the .cls or .json beside the image gives it, or ''."""
        return self._index(listed=False).label(path)

    def _shards(self) -> tuple[RemoteFile, ...]:
        shards = find_files(self.root, (".tar",))
        _last[self] = shards
        return shards

    def _index(self, *, listed: bool = True) -> MemberIndex:
        shards = self._shards() if listed or self not in _last else _last[self]
        return remembered(self, shards, lambda: _indexed(self, shards))

    def _why_none(self) -> str:
        packed = find_files(self.root, COMPRESSED)
        return f"{packed[0].name!r} is compressed and can't be read at random: unpack it first; " if packed else ""


_last: dict[TarFiles, tuple[RemoteFile, ...]] = {}
"""The shards as they were last listed: reading one image must not list them all."""


def _indexed(files: TarFiles, shards: tuple[RemoteFile, ...]) -> MemberIndex:
    builder = IndexBuilder([shard.name for shard in shards])
    for number, shard in enumerate(shards):
        _index_shard(builder, files, shard, number)
    return builder.build()


def _index_shard(builder: IndexBuilder, files: TarFiles, shard: RemoteFile, number: int) -> None:
    """Add the images of one tar, and the tar itself where it is torn."""
    images: dict[str, tuple[int, int, str]] = {}  # a name that comes twice means its last, as for tar itself
    labels: dict[str, str] = {}
    torn = ""
    try:
        for member in _members(shard):
            name = member.name.removeprefix("./")
            suffix = PurePosixPath(name).suffix.lower()
            if member.isreg() and member.offset_data + member.size > shard.size:
                torn = f"the tar is torn: it ends within {name!r}"
                break
            if suffix in SUFFIXES and not member.isdir() and not _is_hidden(name):
                images[name] = (member.offset_data, member.size, _problem(name, member))
            elif suffix in SIDECARS and files.label_by == "beside" and member.isreg():
                labels[_key(name)] = _sidecar_label(shard, member) or labels.get(_key(name), "")
    except (tarfile.TarError, ValueError) as error:
        torn = f"the tar is torn, or none: {error}"
    for name, (offset, size, problem) in images.items():
        path = escape(name)
        wanted = f"{escape(shard.name)}/{path}" if files.ids == "shard" else path
        if problem:
            builder.add_unreadable(wanted, shard=number, reason=problem)
            continue
        label = labels.get(_key(name), "") if files.label_by == "beside" else path_label(path, files.label_by)
        builder.add(wanted, shard=number, first=offset, second=size, size=size, label=label)
    if torn:
        log.error("%s of dataset.root=%r: %s", shard.name, files.root, torn)
        builder.add_unreadable(escape(shard.name), shard=number, reason=torn)


def _problem(name: str, member: tarfile.TarInfo) -> str:
    """Return why a member's bytes are not to be read, '' if they are."""
    if not member.isreg() or member.issparse():
        return "a link or a special member of the tar, not a plain file"
    if ".." in name.split("/") or name.startswith("/"):
        return "its name in the tar leads out of the dataset"
    return ""


def _members(shard: RemoteFile) -> Iterator[tarfile.TarInfo]:
    # Buffered: on an object store each read is a request.
    with (
        read_through(shard, buffer_bytes=BUFFER_BYTES) as stream,
        tarfile.open(fileobj=stream, mode="r:", errors="surrogateescape") as tar,
    ):
        while (member := tar.next()) is not None:
            yield member
            tar.members.clear()  # type: ignore[attr-defined]  # it would keep the header of every member
        _check_end(shard, tar.offset)


def _check_end(shard: RemoteFile, offset: int) -> None:
    """Raise ReadError unless the headers ended at the mark that closes a tar: tarfile takes any damage for the end."""
    end = read_part(shard, offset=offset, size=min(tarfile.BLOCKSIZE, max(0, shard.size - offset)))
    if not end or any(end):
        raise tarfile.ReadError(f"no whole header and no end mark at byte {offset}")


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") and part not in (".", "..") for part in name.split("/"))


def _key(name: str) -> str:
    """Return what the parts of one webdataset sample share: the name up to the first dot of its last part."""
    folder, slash, last = name.rpartition("/")
    return folder + slash + last.partition(".")[0]


def _sidecar_label(shard: RemoteFile, member: tarfile.TarInfo) -> str:
    if member.size > SIDECAR_BYTES:
        return ""
    text = read_part(shard, offset=member.offset_data, size=member.size).decode("utf-8", "replace").strip()
    if member.name.lower().endswith(".cls"):
        return sys.intern(text)
    try:
        found: Any = json.loads(text)
    except ValueError:
        return ""
    values = found if isinstance(found, dict) else {}
    for name in ("label", "class", "cls"):
        if isinstance(values.get(name), str | int):
            return sys.intern(str(values[name]))
    return ""
