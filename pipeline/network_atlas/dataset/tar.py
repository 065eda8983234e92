"""Images in tar files, as webdataset writes them.

    train-000.tar:  cat/01.jpg  cat/01.cls  dog/07.jpg  dog/07.json ...

A member's id is its name in the tar: the same in whichever shard it lies. One pass over the headers finds where every
image begins; after that each is read by itself. Nothing is unpacked, so a member's name leads nowhere; links and names
with '..' are recorded as unreadable. Of a damaged tar everything before the damage is kept, and the tar itself stands
among the failures under its own name. Compressed tars can't be read at random and are refused.
"""

from __future__ import annotations

import logging
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from network_atlas.dataset.folder import HIDDEN, escape, path_label
from network_atlas.dataset.image_formats import SUFFIXES
from network_atlas.dataset.members import IndexBuilder, MemberIndex, remembered
from network_atlas.dataset.sidecars import Sidecars, is_sidecar
from network_atlas.dataset.skipped import Skipped
from network_atlas.errors import DatasetError
from network_atlas.files.finding import DataFile, find_files
from network_atlas.files.reading import read_part, read_through

log = logging.getLogger(__name__)

COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
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
        index = self._index()
        if not index.names:
            instead = "".join(f"; {sentence}" for sentence in index.skipped.sentences())
            raise DatasetError(
                f"the tar files of dataset.root={self.root!r} hold no images ({', '.join(SUFFIXES)}){instead}"
            )

    def sizes(self, skipped: Skipped) -> Iterator[tuple[str, int | None]]:
        """See `Files`. The headers are read anew only when a tar changed."""
        index = self._index()
        skipped.update(index.skipped)
        yield from index.sizes()

    def content(self, path: str) -> bytes:
        """See `Files`."""
        index = self._index(listed=False)
        member = index.find(path)
        return read_part(_last[self][member.shard], offset=member.first, size=member.second)

    def label(self, path: str) -> str:
        """Return the label that the folder, the name, or the .cls or .json beside the image gives it, or ''."""
        return self._index(listed=False).label(path)

    def _shards(self) -> tuple[DataFile, ...]:
        shards = find_files(self.root, (".tar",))
        _last[self] = shards
        return shards

    def _index(self, *, listed: bool = True) -> MemberIndex:
        shards = self._shards() if listed or self not in _last else _last[self]
        return remembered(self, shards, lambda: _indexed(self, shards))

    def _why_none(self) -> str:
        packed = find_files(self.root, COMPRESSED)
        return f"{packed[0].name!r} is compressed and can't be read at random: unpack it first; " if packed else ""


_last: dict[TarFiles, tuple[DataFile, ...]] = {}
"""The shards as they were last listed: reading one image must not list them all."""


@dataclass(frozen=True, slots=True)
class _Image:
    """The place of an image in its tar."""

    offset: int
    size: int
    problem: str
    """Why its bytes are not to be read, '' if they are."""


def _indexed(files: TarFiles, shards: tuple[DataFile, ...]) -> MemberIndex:
    builder = IndexBuilder([shard.name for shard in shards])
    for number, shard in enumerate(shards):
        _index_shard(builder, files, shard, number)
    return builder.build()


def _index_shard(builder: IndexBuilder, files: TarFiles, shard: DataFile, number: int) -> None:
    """Add the images of one tar, and the tar itself where it is damaged."""
    images: dict[str, _Image] = {}  # of a name that comes twice the last counts, as for tar itself
    sidecars = Sidecars(builder.skipped)
    damage = ""
    try:
        for member in _members(shard):
            name = member.name.removeprefix("./")
            if member.isreg() and member.offset_data + member.size > shard.size:
                damage = f"the tar is torn: it ends within {name!r}"
                break
            if files.label_by == "beside" and member.isreg() and is_sidecar(name) and not _is_hidden(name):
                sidecars.add(name, shard, member)
            elif not member.isdir():
                _add_image(images, builder.skipped, name, member)
    except (tarfile.TarError, ValueError) as error:
        damage = f"the tar is torn, or not a tar: {error}"
    labels = sidecars.labels(images) if files.label_by == "beside" else {}
    for name, image in images.items():
        path = escape(name)
        example = f"{escape(shard.name)}/{path}" if files.ids == "shard" else path
        if image.problem:
            builder.add_unreadable(example, shard=number, reason=image.problem)
            continue
        label = labels.get(name, "") if files.label_by == "beside" else path_label(path, files.label_by)
        builder.add(example, shard=number, first=image.offset, second=image.size, size=image.size, label=label)
    if damage:
        log.error("%s of dataset.root=%r: %s", shard.name, files.root, damage)
        builder.add_unreadable(escape(shard.name), shard=number, reason=damage)


def _add_image(images: dict[str, _Image], skipped: Skipped, name: str, member: tarfile.TarInfo) -> None:
    """Add a member that is an image by its suffix, or count it as skipped."""
    is_image = PurePosixPath(name).suffix.lower() in SUFFIXES
    if is_image and not _is_hidden(name):
        images[name] = _Image(member.offset_data, member.size, _problem(name, member))
    elif is_image:
        skipped.add(escape(name), HIDDEN)
    elif not _is_hidden(name):
        skipped.add_file(escape(name))


def _problem(name: str, member: tarfile.TarInfo) -> str:
    """Return why a member's bytes are not to be read, '' if they are."""
    if not member.isreg() or member.issparse():
        return "a link or a special member of the tar, not a plain file"
    if ".." in name.split("/") or name.startswith("/"):
        return "its name in the tar leads out of the dataset"
    return ""


def _members(shard: DataFile) -> Iterator[tarfile.TarInfo]:
    # Buffered: on an object store each read is a request.
    with (
        read_through(shard, buffer_bytes=BUFFER_BYTES) as stream,
        tarfile.open(fileobj=stream, mode="r:", errors="surrogateescape") as tar,
    ):
        while (member := tar.next()) is not None:
            yield member
            tar.members.clear()  # type: ignore[attr-defined]  # it would keep the header of every member
        _check_end(shard, tar.offset)


def _check_end(shard: DataFile, offset: int) -> None:
    """Raise ReadError unless the headers ended at the mark that closes a tar: tarfile takes any damage for the end."""
    end = read_part(shard, offset=offset, size=min(tarfile.BLOCKSIZE, max(0, shard.size - offset)))
    if not end or any(end):
        raise tarfile.ReadError(f"no whole header and no end mark at byte {offset}")


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") and part not in (".", "..") for part in name.split("/"))
