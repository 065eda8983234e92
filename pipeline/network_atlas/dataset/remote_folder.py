"""Image files in a folder of an object store (s3://bucket/photos), at any depth.

Paths and ids are those of a local folder with the same files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from network_atlas.dataset.folder import HIDDEN, escape, no_images, path_label, unescape
from network_atlas.dataset.image_formats import is_image_name
from network_atlas.dataset.skipped import Skipped
from network_atlas.errors import UnreadableImageError
from network_atlas.files.finding import list_files
from network_atlas.files.reading import read_below


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFolderFiles:
    """The image files below `root`, a URI."""

    root: str
    label_by: str

    def check(self) -> None:
        """Raise DatasetError unless the folder holds at least one image file."""
        skipped = Skipped()
        if next(self.sizes(skipped), None) is None:
            raise no_images(self.root, skipped)

    def sizes(self, skipped: Skipped) -> Iterator[tuple[str, int | None]]:
        """See `Files`."""
        for file in list_files(self.root):
            name = escape(file.name)
            if file.is_hidden:
                if is_image_name(name):
                    skipped.add(name, HIDDEN)
            elif is_image_name(name):
                yield name, file.size
            else:
                skipped.add_file(name)

    def content(self, path: str) -> bytes:
        """See `Files`."""
        name = unescape(path)
        if any(part in ("", ".", "..") or "\0" in part for part in name.split("/")):
            raise UnreadableImageError("not a path below the dataset's root")
        return read_below(self.root, name)

    def label(self, path: str) -> str:
        """Return the label that the file's folder or name gives it, or ''."""
        return path_label(path, self.label_by)
