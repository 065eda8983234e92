"""The examples of a row: which part of each the layer saw, and a crop of that part."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from network_atlas.config.schema import InputConfig
from network_atlas.dataset import Preprocessing, Source
from network_atlas.dataset.crops import crop, original_box, seen_box
from network_atlas.dataset.preprocessing import Box
from network_atlas.errors import DatasetError, UnreadableImageError
from network_atlas.layers import LayerSpec

Row = dict[str, Any]
Location = tuple[str, int, int]
"""(example_id, row, column): a position of the layer's map on an example; WHOLE stands for all positions."""
WHOLE = (-1, -1)
OF_A_POSITION = ("top", "bottom", "class")
"""Kinds that show what one position saw; the others, ranked by spatial mean, show the whole input."""


@dataclass(frozen=True, slots=True)
class Shown:
    """The part of an example that a row shows."""

    box: Mapping[str, float]
    """`top`, `left`, `bottom`, `right` in pixels of the original image."""
    image: bytes


def location_of(example: Mapping[str, Any]) -> Location:
    """Return which part of an example is shown."""
    row, column = (example["row"], example["column"]) if example["kind"] in OF_A_POSITION else WHOLE
    return example["example_id"], row, column


def box_of(layer: LayerSpec, location: Location, config: InputConfig) -> Box:
    """Return the box of the model's input that a location stands for: what its position sees, or everything."""
    _, row, column = location
    if (row, column) == WHOLE:
        return 0.0, 0.0, float(config.height), float(config.width)
    return seen_box(layer, row, column, config)


class Crops:
    """Cuts the parts that a layer saw out of the original images."""

    def __init__(self, source: Source, preprocessing: Preprocessing, side_px: int) -> None:
        self._source = source
        self._preprocessing = preprocessing
        self._side_px = side_px

    def shown(self, layer: LayerSpec, locations: Iterable[Location]) -> dict[Location, Shown]:
        """Return the crop of each location; each image is decoded once.

        Raises DatasetError for an image that the scan could read and that can't be read now. A table without its crop
        would stay so for ever, as nothing in the table's key would change when the image is there again.
        """
        by_example: dict[str, list[Location]] = {}
        for location in sorted(set(locations)):
            by_example.setdefault(location[0], []).append(location)
        return {
            location: shown
            for example_id, of_example in by_example.items()
            for location, shown in self._of_example(layer, example_id, of_example)
        }

    def _of_example(
        self, layer: LayerSpec, example_id: str, locations: Sequence[Location]
    ) -> Iterator[tuple[Location, Shown]]:
        image, (above, before) = read_again(self._source, example_id), self._source.origin(example_id)
        for location in locations:
            box = box_of(layer, location, self._preprocessing.config)
            top, left, bottom, right = original_box((image.height, image.width), self._preprocessing, box)
            # A view is a part of a larger image; boxes are those of the image in the file.
            in_file = {"top": top + above, "left": left + before, "bottom": bottom + above, "right": right + before}
            yield location, Shown(in_file, crop(image, self._preprocessing, box, side_px=self._side_px))


def read_again(source: Source, example_id: str) -> Image.Image:
    """Return an image that the scan could read. Raises DatasetError if it can't be read now."""
    try:
        return source.read(example_id)
    except UnreadableImageError as error:
        raise DatasetError(
            f"{error}. The scan could read it, so the file was changed or removed since: restore it and give the "
            "same command again, or leave it out with dataset.exclude"
        ) from error
