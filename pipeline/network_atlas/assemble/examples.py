"""The dataset examples of a channel's row: which they are, what the layer saw of each, and a crop of that."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from network_atlas.dataset import Preprocessing, Source
from network_atlas.dataset.crops import crop, original_box, seen_box
from network_atlas.errors import UnreadableImageError
from network_atlas.layers import LayerSpec
from network_atlas.stats.merge import LayerScan
from network_atlas.stats.sample import spectrum

log = logging.getLogger(__name__)

Row = dict[str, Any]
Place = tuple[str, int, int]
"""(example_id, row, column); the latter two are -1 for all that the model is shown."""
WHOLE = (-1, -1)
OF_A_PLACE = ("top", "bottom", "class")
"""Kinds that show what one position saw; the others, ranked by spatial mean, show the whole input."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What is shown of an example at a place."""

    box: Mapping[str, float]
    jpeg: bytes


def examples_of(scan: LayerScan, channel: int, spectrum_k: int) -> Iterator[Row]:
    """Yield the examples of a channel, kind by kind from most to least, with `kind` and `rank` in front."""
    whole, sample = scan.whole, scan.sample
    middle = spectrum(sample.spatial_mean[:, channel], spectrum_k)

    def sampled(kind: str) -> list[Mapping[str, Any]]:
        values, at = sample.spatial_mean[:, channel], sample.spatial_maximum_at[:, channel]
        return [scan.example(sample.ids[n], float(values[n]), int(at[n])) for n in middle[kind]]

    kinds = {
        "top": scan.examples(whole.top, channel),
        "class": scan.class_examples(channel),
        "top_mean": scan.examples(whole.top_mean, channel),
        "slightly_positive": sampled("slightly_positive"),
        "zero": sampled("zero"),
        "slightly_negative": sampled("slightly_negative"),
        "bottom_mean": scan.examples(whole.bottom_mean, channel),
        "bottom": scan.examples(whole.bottom, channel),
    }
    for kind, examples in kinds.items():
        for rank, example in enumerate(examples):
            yield {"kind": kind, "rank": rank, **example}


def place_of(example: Mapping[str, Any]) -> Place:
    """Return what is to be shown of an example."""
    row, column = (example["row"], example["column"]) if example["kind"] in OF_A_PLACE else WHOLE
    return example["example_id"], row, column


class Crops:
    """Cuts what a layer saw out of the original images."""

    def __init__(self, source: Source, preprocessing: Preprocessing, side_px: int) -> None:
        self._source = source
        self._preprocessing = preprocessing
        self._side_px = side_px

    def shown(self, layer: LayerSpec, places: Iterable[Place]) -> dict[Place, Shown | None]:
        """Return what each place shows, None where the image can't be read; a file is decoded once."""
        by_example: dict[str, list[Place]] = {}
        for place in sorted(set(places)):
            by_example.setdefault(place[0], []).append(place)
        return {place: one for example_id, own in by_example.items() for place, one in self._of(layer, example_id, own)}

    def _of(self, layer: LayerSpec, example_id: str, places: list[Place]) -> Iterator[tuple[Place, Shown | None]]:
        try:
            image, (above, before) = self._source.read(example_id), self._source.origin(example_id)
        except UnreadableImageError as error:
            # It could be read in the scan: the file went away or changed in between.
            log.error("no crop for %s: %s", example_id, error)
            yield from ((place, None) for place in places)
            return
        config = self._preprocessing.config
        whole = (0.0, 0.0, float(config.height), float(config.width))
        for place in places:
            box = whole if place[1:] == WHOLE else seen_box(layer, place[1], place[2], config)
            top, left, bottom, right = original_box(image, self._preprocessing, box)
            named = {"top": top + above, "left": left + before, "bottom": bottom + above, "right": right + before}
            yield place, Shown(named, crop(image, self._preprocessing, box, side_px=self._side_px))
