"""Read from the scan what pictures need: examples to start from, and which channels are active together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Float64
from numpy.typing import NDArray
from torch import Tensor

from network_atlas.config.schema import RunConfig
from network_atlas.dataset import Preprocessing, Source, open_source
from network_atlas.dataset.crops import seen_box
from network_atlas.errors import DatasetError
from network_atlas.layers import LayerSpec
from network_atlas.pictures.cells import Directions, direction_of, read_directions
from network_atlas.pictures.examples import MatchTarget, match_targets
from network_atlas.pictures.target import Target
from network_atlas.pictures.transforms import resize
from network_atlas.plan.pictures import Picture
from network_atlas.plan.references import sampled_by_scan
from network_atlas.plan.tasks import CalibrateTask, OptimizeTask
from network_atlas.stats.merge import Example, LayerScan, read_layer_scan
from network_atlas.store.root import Store
from network_atlas.units import Cell, Channel, Coactive, Sum, Term

MatchTargets = dict[str, MatchTarget]
"""What a picture is matched with, by the layer's name."""
Starts = dict[str, Float[Tensor, "channels height width"]]
"""Images on 0..1 that pictures start from, by the pictures' keys."""


class ScanReader:
    """Reads the scan and the dataset for one worker."""

    def __init__(self, config: RunConfig, store: Store) -> None:
        self._config = config
        self._store = store
        self._latest: tuple[str, LayerScan] | None = None
        """The layer that was read last, by name."""
        self._latest_cells: tuple[str, Directions] | None = None
        """The file of cells that was read last."""

    @cached_property
    def _source(self) -> Source:
        # Opened once, when it is first needed: opening lists a folder, which may hold a million images.
        return open_source(self._config.dataset)

    def of_layer(self, layer: LayerSpec, files: Sequence[str]) -> LayerScan:
        """Return what the scan's `files` say about each channel of a layer; the last layer is remembered."""
        if self._latest is None or self._latest[0] != layer.name:
            self._latest = (layer.name, read_layer_scan(self._store, files, layer, self._config.kept))
        return self._latest[1]

    def with_readable_unit(self, picture: Picture, task: OptimizeTask | CalibrateTask) -> Picture:
        """Return the picture with a unit that can be read from the network's maps.

        Which channel is most active together with another is known only after the scan, and the direction of a cell
        after the layout; all other units are readable.
        """
        if isinstance(picture.unit, Coactive):
            scan = self.of_layer(task.layer, task.scan_files)
            return replace(picture, unit=with_partner(picture.unit, scan))
        if isinstance(picture.unit, Cell):
            return replace(picture, unit=direction_of(picture.unit, self._cells(task.cells_file)))
        return picture

    def sampled(self, picture: Picture, task: OptimizeTask) -> NDArray[np.float32] | None:
        """Return what the scan's sampled images score at a picture's unit, (examples,); None if it does not say."""
        return sampled_by_scan(picture, self.of_layer(task.layer, task.scan_files))

    def _cells(self, path: str) -> Directions:
        """Return the directions of all cells of a map; the last map is remembered."""
        if self._latest_cells is None or self._latest_cells[0] != path:
            self._latest_cells = (path, read_directions(self._store, path))
        return self._latest_cells[1]

    def starts(self, target: Target, pictures: Sequence[Picture], task: OptimizeTask, size: tuple[int, int]) -> Starts:
        """Return the images of (height, width) `size` that pictures start from; those that start from noise have none.

        Raises DatasetError where a unit has fewer examples than the picture's set has facets.
        """
        return {
            picture.key: self._start(target, picture, task, size)
            for picture in pictures
            if picture.start.kind != "noise"
        }

    def _start(
        self, target: Target, picture: Picture, task: OptimizeTask, size: tuple[int, int]
    ) -> Float[Tensor, "channels height width"]:
        images = self._images(self._example_ids(picture, task))
        if picture.start.kind == "facet":
            # Imported here: scikit-learn takes most of a second to load, and few runs ask for facets.
            from network_atlas.pictures.clusters import clusters

            labels = clusters(_features(target, images), picture.start.count)
            images = images[torch.from_numpy(labels) == picture.start.index]
        return resize(images.mean(dim=0, keepdim=True), height=size[0], width=size[1])[0]

    def _example_ids(self, picture: Picture, task: OptimizeTask) -> list[str]:
        """Return the ids of the examples that a picture's start is made of, the best first."""
        assert picture.channel is not None
        scan = self.of_layer(task.layer, task.scan_files)[picture.channel]
        kept = self._config.scan
        best = scan.top[: kept.top_k] if picture.sign > 0 else scan.bottom[: kept.bottom_k]
        if len(best) < picture.start.count:
            raise DatasetError(
                f"{picture.unit.label}: {len(best)} examples are too few for {picture.start.count} starts; "
                "raise scan.top_k and scan.bottom_k, or take fewer facets"
            )
        used = best[:1] if picture.start.kind == "example" else best
        return [str(example["example_id"]) for example in used]

    def match_targets(self, target: Target, picture: Picture, task: OptimizeTask, *, halved: int) -> MatchTargets:
        """Return the distributions, in the layers of `target`, of the parts of a unit's best examples that it saw.

        Raises DatasetError where the scan keeps no example of it.
        """
        config = self._config.recipe(task.recipe).examples
        assert config is not None
        best = self._best_of_images(picture, task, config.examples)
        boxes = [seen_box(task.layer, row["row"], row["column"], target.input) for row in best]
        images = self._images([str(row["example_id"]) for row in best])
        return match_targets(target, images, boxes, match=config.match, halved=halved)

    def _best_of_images(self, picture: Picture, task: OptimizeTask, count: int) -> list[Example]:
        """Return a unit's best examples, best first: one view of each image, since several would look alike."""
        assert picture.channel is not None
        scan = self.of_layer(task.layer, task.scan_files)[picture.channel]
        of_images: dict[str, Example] = {}
        for example in scan.top if picture.sign > 0 else scan.bottom:
            if picture.circuit and example["example_id"] not in picture.circuit.examples:
                continue  # of another group
            of_images.setdefault(self._source.image(str(example["example_id"])), example)
        if not of_images:
            raise DatasetError(
                f"{picture.unit.label}: the scan keeps no example of it with which the penalty 'examples' could "
                "compare its picture; raise scan.top_k (scan.bottom_k for minimized pictures), or take another recipe"
            )
        return list(of_images.values())[:count]

    def _images(self, example_ids: Sequence[str]) -> Float[Tensor, "examples channels rows columns"]:
        preprocessing = Preprocessing(self._config.model.input)
        pixels = np.stack([preprocessing.apply(self._source.read(example_id)) for example_id in example_ids])
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255


def with_partner(unit: Coactive, scan: LayerScan) -> Sum:
    """Return the channel plus the channel whose spatial means follow its own most closely over the sample.

    The channel alone where it, or every other, is constant.
    """
    channels = [unit.channel, *(int(partner["channel"]) for partner in scan.partners(unit.channel)[:1])]
    return Sum(terms=tuple(Term(weight=1.0, unit=Channel(layer=unit.layer, channel=number)) for number in channels))


@torch.inference_mode()
def _features(
    target: Target, images: Float[Tensor, "examples channels rows columns"]
) -> Float64[NDArray[np.float64], "examples features"]:
    """Return each image's features in the layer: its maps' spatial means, scaled to unit length."""
    maps = target.maps(images.to(target.device))[target.layers[0].name]
    means = torch.nn.functional.normalize(maps.float().mean(dim=(2, 3)), dim=1)
    features: NDArray[np.float64] = means.double().cpu().numpy()
    return features
