"""Store what rows show of their examples: each image once, and crops as parts of it.

    images = ExampleImages(store, source, preprocessing, config.assemble)
    stored, files = images.of_rows(layer, [[location, ...], ...], examples=50_000)    # for each row its locations

A whole image stands in a file of its own, which all channels of all layers share. A crop is a part of that file where
this has enough pixels; else it is cut from the original, and stands in a sheet with the other crops of eight rows. In a
dataset of a million images nearly every channel has others: there whole images would take nine times as much as crops.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from PIL import Image

from network_atlas.assemble.examples import Location, box_of, read_again
from network_atlas.config.schema import AssembleConfig
from network_atlas.dataset import Preprocessing, Source
from network_atlas.dataset.crops import crop_box, longer_side, original_box, resized, size_within, webp
from network_atlas.dataset.preprocessing import Box
from network_atlas.layers import LayerSpec
from network_atlas.store.paths import example_image_path
from network_atlas.store.root import Store
from network_atlas.store.shards import FileEntry, entry_for

ROWS_OF_SHEET, SHEET_COLUMNS = 8, 16
"""Rows whose crops share a sheet: those of one file of details on the site."""
ROWS_AT_ONCE = 256
"""Rows whose crops are in memory at a time: about 100 MB. Within them an image is decoded once."""
SHOWN_OFTEN = 8
"""Rows of a layer that show an image make up for its whole file: it takes as much as nine crops."""
SHARP = 2 / 3
"""A crop is a part of the whole image's file if that has this share of `crop_px` there, or all pixels of the image."""
QUALITY, METHOD = 75, 4
GREY = (128, 128, 128)
EDGES = ("top", "left", "bottom", "right")


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A whole image as it is stored."""

    file: FileEntry
    size: tuple[int, int]
    """Height and width of the image itself."""
    scale: float
    """Pixels of the file for one of the image, at most 1."""
    shown: Box
    """The part of the file that the model is shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What is stored of one location on an example: the columns `box`, `image`, `shown`, `seen`, `crop`."""

    box: Box
    """In pixels of the dataset's file."""
    whole: Whole | None
    seen: Box | None
    """The box in pixels of the whole image's file."""
    file: str
    part: Box
    """The part of `file` that is the crop."""

    def columns(self) -> dict[str, object]:
        """Return the columns of an example."""
        return {
            "box": _named(self.box),
            "image": self.whole and self.whole.file.path,
            "shown": self.whole and _named(self.whole.shown),
            "seen": self.seen and _named(self.seen),
            "crop": {"file": self.file, **_named(self.part)},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cut:
    """The crop of a location: a part of the whole image, or an image of its own."""

    box: Box
    whole: Whole | None
    seen: Box | None
    part: Box | Image.Image


class ExampleImages:
    """Stores images of examples; remembers which it has stored whole."""

    def __init__(self, store: Store, source: Source, preprocessing: Preprocessing, config: AssembleConfig) -> None:
        self._store = store
        self._source = source
        self._preprocessing = preprocessing
        self._config = config
        self._wholes: dict[str, Whole] = {}

    def of_rows(
        self, layer: LayerSpec, rows: Sequence[Sequence[Location]], *, examples: int
    ) -> tuple[list[dict[Location, Stored]], list[FileEntry]]:
        """Store the images of the rows of a layer; return what is stored of each row's locations, and all files.

        `examples` is how many the dataset has. Raises DatasetError for an image that the scan could read and that can't
        be read now: a table without its crop would stay so for ever, as nothing in the table's key would change.
        """
        counts = Counter(example for row in rows for example in {location[0] for location in row})
        often = 1 if examples <= self._config.whole_images else SHOWN_OFTEN
        stored: list[dict[Location, Stored]] = []
        files: dict[str, FileEntry] = {}
        for start in range(0, len(rows), ROWS_AT_ONCE):
            group = rows[start : start + ROWS_AT_ONCE]
            cuts = self._cuts(layer, group, {example for example, count in counts.items() if count >= often})
            files |= {cut.whole.file.path: cut.whole.file for cut in cuts.values() if cut.whole}
            for first in range(0, len(group), ROWS_OF_SHEET):
                of_sheet = group[first : first + ROWS_OF_SHEET]
                sheet, parts = self._sheet({at: cuts[at].part for row in of_sheet for at in row})
                stored += [{at: _stored(cuts[at], sheet, parts, at) for at in row} for row in of_sheet]
                files |= {sheet.path: sheet} if sheet else {}
        return stored, list(files.values())

    def _cuts(
        self, layer: LayerSpec, rows: Sequence[Sequence[Location]], wholes: AbstractSet[str]
    ) -> dict[Location, _Cut]:
        """Return the crop of each location of these rows; each image is decoded once."""
        by_example: dict[str, list[Location]] = {}
        for location in sorted({location for row in rows for location in row}):
            by_example.setdefault(location[0], []).append(location)
        return {
            location: cut
            for example_id, locations in by_example.items()
            for location, cut in self._of_example(layer, example_id, locations, whole=example_id in wholes)
        }

    def _of_example(
        self, layer: LayerSpec, example_id: str, locations: Sequence[Location], *, whole: bool
    ) -> Iterator[tuple[Location, _Cut]]:
        image = _Image(self._source, example_id)
        if whole and example_id not in self._wholes:
            self._wholes[example_id] = self._put_whole(image.read())
        stored = self._wholes[example_id] if whole else None
        size = stored.size if stored else (image.read().height, image.read().width)
        above, before = self._source.origin(example_id)
        config = self._preprocessing.config
        for location in locations:
            box = box_of(layer, location, config)
            seen = original_box(size, self._preprocessing, box)
            source = self._preprocessing.source_box(size, crop_box(box, config))
            part = _part(source, stored, SHARP * self._config.crop_px) if stored else None
            # A view is a part of a larger image; boxes are those of the image in the file.
            yield (
                location,
                _Cut(
                    box=_shifted(seen, above, before),
                    whole=stored,
                    seen=_scaled(seen, stored.scale) if stored else None,
                    part=part or resized(image.read(), source, size_within(source, self._config.crop_px)),
                ),
            )

    def _put_whole(self, image: Image.Image) -> Whole:
        """Store a whole image and return where and how it lies."""
        scale = min(1.0, self._config.image_px / max(image.size))
        size = max(1, round(scale * image.height)), max(1, round(scale * image.width))
        everything = (0.0, 0.0, float(image.height), float(image.width))
        data = webp(resized(image, everything, size), QUALITY, method=METHOD)
        config = self._preprocessing.config
        shown = self._preprocessing.source_box(
            (image.height, image.width), (0.0, 0.0, float(config.height), float(config.width))
        )
        file = self._put(data, size)
        return Whole(file=file, size=(image.height, image.width), scale=scale, shown=_scaled(shown, scale))

    def _sheet(self, parts: Mapping[Location, Box | Image.Image]) -> tuple[FileEntry | None, dict[Location, Box]]:
        """Store those crops that are images of their own as one sheet; return it, and where in it each lies."""
        crops = {location: part for location, part in parts.items() if isinstance(part, Image.Image)}
        if not crops:
            return None, {}
        side = self._config.crop_px
        columns = min(SHEET_COLUMNS, len(crops))
        sheet = Image.new("RGB", (columns * side, math.ceil(len(crops) / columns) * side), GREY)
        boxes: dict[Location, Box] = {}
        for number, (location, crop) in enumerate(crops.items()):
            top, left = (side * place for place in divmod(number, columns))
            sheet.paste(crop, (left, top))
            boxes[location] = (float(top), float(left), float(top + crop.height), float(left + crop.width))
        return self._put(webp(sheet, QUALITY, method=METHOD), (sheet.height, sheet.width)), boxes

    def _put(self, data: bytes, size: tuple[int, int]) -> FileEntry:
        path = example_image_path(hashlib.sha256(data).hexdigest(), size)
        # Even if it is there: its content may have been changed since.
        self._store.write(path, data)
        return entry_for(path, data, 0)


class _Image:
    """An image that is decoded once it is asked for."""

    def __init__(self, source: Source, example_id: str) -> None:
        self._source = source
        self._example_id = example_id
        self._image: Image.Image | None = None

    def read(self) -> Image.Image:
        """Return the image. Raises DatasetError if it can't be read now."""
        if self._image is None:
            self._image = read_again(self._source, self._example_id)
        return self._image


def _stored(cut: _Cut, sheet: FileEntry | None, parts: Mapping[Location, Box], location: Location) -> Stored:
    if isinstance(cut.part, Image.Image):
        file, part = sheet, parts[location]
    else:
        file, part = cut.whole.file if cut.whole else None, cut.part
    assert file is not None
    return Stored(box=cut.box, whole=cut.whole, seen=cut.seen, file=file.path, part=part)


def _part(source: Box, whole: Whole, side_min_px: float) -> Box | None:
    """Return a box of an image in the pixels of its stored file; None if these are too few."""
    part = _scaled(source, whole.scale)
    return part if whole.scale == 1 or longer_side(part) >= side_min_px else None


def _scaled(box: Box, scale: float) -> Box:
    top, left, bottom, right = (round(edge * scale, 1) for edge in box)
    return top, left, bottom, right


def _shifted(box: Box, down: float, right: float) -> Box:
    return box[0] + down, box[1] + right, box[2] + down, box[3] + right


def _named(box: Box) -> dict[str, float]:
    return dict(zip(EDGES, box, strict=True))
