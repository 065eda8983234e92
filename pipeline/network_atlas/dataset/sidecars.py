"""Labels that lie beside the images of a tar, in files of their own: `07.cls` or `07.json` for `07.jpg`.

A label belongs to the image with the same name up to the last dot (`a.0.cls` to `a.0.jpg`), else to those that have
its name and more (`b.cls` to `b.seg.png`), the longest such name first. Only where an image is the only one of its
sample, which webdataset calls by the name up to the first dot, a longer name will do (`c.meta.json` for `c.png`).
"""

from __future__ import annotations

import json
import re
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from network_atlas.dataset.folder import escape
from network_atlas.dataset.labels import label_text
from network_atlas.dataset.skipped import Reason, Skipped
from network_atlas.files.finding import DataFile
from network_atlas.files.reading import read_part

SUFFIXES = (".cls", ".json")
LARGEST_BYTES = 1 << 20
"""A larger file is not a label: such a .json is read by nobody, in any number."""
NO_LABEL = Reason("unreadable label", " (no text in UTF-8, or no JSON)")
FIELDS = ("label", "class", "cls")
"""Where a .json says the label; the first that is there."""


def is_sidecar(name: str) -> bool:
    """Say whether a file may hold the label of an image beside it."""
    return name.lower().endswith(SUFFIXES)


@dataclass(slots=True)
class Sidecars:
    """The labels of one tar, by the names that they belong to."""

    skipped: Skipped
    """Counts the files that hold no label that can be read."""
    by_stem: dict[str, str] = field(default_factory=dict)
    """A .cls or .json's name without that suffix → its label."""
    from_text: set[str] = field(default_factory=set)
    """The stems whose label comes from a .cls, which counts more than a .json."""

    def add(self, name: str, shard: DataFile, member: tarfile.TarInfo) -> None:
        """Read one file of a label; raise DatasetError for one that holds several labels."""
        stem, _, suffix = name.rpartition(".")
        is_text = suffix.lower() == "cls"
        try:
            label = _read(name, shard, member, is_text=is_text)
        except ValueError:  # neither text nor JSON
            self.skipped.add(escape(name), NO_LABEL)
            return
        if not label or (stem in self.from_text and not is_text):
            return
        self.by_stem[stem] = label
        if is_text:
            self.from_text.add(stem)

    def labels(self, images: Iterable[str]) -> dict[str, str]:
        """Return the label of each image that has one."""
        images = list(images)
        alone = {key for key, count in Counter(map(_key, images)).items() if count == 1}
        of_sample: dict[str, set[str]] = {}
        for stem, label in self.by_stem.items():
            of_sample.setdefault(_key(stem), set()).add(label)
        labels = {}
        for image in images:
            exact = (self.by_stem[stem] for stem in _stems(image) if stem in self.by_stem)
            label = next(exact, "")
            of_key = of_sample.get(_key(image), set())
            if not label and _key(image) in alone and len(of_key) == 1:
                (label,) = of_key
            if label:
                labels[image] = label
        return labels


def _stems(name: str) -> Iterator[str]:
    """Yield a name without what follows its last dot, then without what follows the dot before, and so on."""
    folder, slash, last = name.rpartition("/")
    while "." in last:
        last = last.rpartition(".")[0]
        yield folder + slash + last


def _key(name: str) -> str:
    """Return what webdataset calls the sample: the name up to the first dot of its last part."""
    folder, slash, last = name.rpartition("/")
    return folder + slash + last.partition(".")[0]


def _read(name: str, shard: DataFile, member: tarfile.TarInfo, *, is_text: bool) -> str:
    """Return the label in a file, '' if it holds none; raise ValueError for what is no text or no JSON."""
    if member.size > LARGEST_BYTES:
        return ""
    # utf-8-sig: a byte-order mark at the beginning is not a part of the label.
    text = read_part(shard, offset=member.offset_data, size=member.size).decode("utf-8-sig").strip()
    where = f"{name!r} in {shard.name!r} of dataset.root={shard.root!r}"
    if is_text:
        return label_text(int(text) if re.fullmatch(r"-\d+", text) else text, where=where)
    values = json.loads(text)
    if not isinstance(values, dict):
        return ""
    label = next((values[name] for name in FIELDS if values.get(name) is not None), None)
    return label_text(label, where=where)
