"""What pictures take from the scan: examples to start from, and which channels are active together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from network_atlas.config.schema import RunConfig
from network_atlas.dataset import Preprocessing, open_source
from network_atlas.errors import DatasetError
from network_atlas.layers import LayerSpec
from network_atlas.pictures.target import Target
from network_atlas.pictures.transforms import resize
from network_atlas.plan.pictures import Picture
from network_atlas.plan.tasks import OptimizeTask
from network_atlas.stats.merge import LayerScan, read_layer_scan
from network_atlas.store.paths import Store
from network_atlas.units import Channel, Coactive, Sum, Term

ROUNDS = 20
"""Rounds of k-means: a few dozen examples settle in fewer."""


class Scanned:
    """Reads the scan and the dataset for one worker."""

    def __init__(self, config: RunConfig, store: Store) -> None:
        self._config = config
        self._store = store
        self._known: tuple[str, LayerScan] | None = None
        """The layer that was read last."""

    def resolved(self, picture: Picture, layer: LayerSpec, files: Sequence[str]) -> Picture:
        """Return the picture with a unit that can be read: the most co-active channel is known after the scan only."""
        if isinstance(picture.unit, Coactive):
            return replace(picture, unit=with_partner(picture.unit, self.of_layer(layer, files)))
        return picture

    def starts(
        self, target: Target, pictures: Sequence[Picture], task: OptimizeTask, size: tuple[int, int]
    ) -> dict[str, Tensor]:
        """Return the images (channels, height, width) on 0..1 that pictures start from, by key; noise is left out."""
        return {
            picture.key: self._start(target, picture, task, size)
            for picture in pictures
            if picture.start.kind != "noise"
        }

    def _start(self, target: Target, picture: Picture, task: OptimizeTask, size: tuple[int, int]) -> Tensor:
        assert picture.channel is not None
        scan = self.of_layer(task.layer, task.scan_files)[picture.channel]
        best = scan.top if picture.sign > 0 else scan.bottom
        if len(best) < picture.start.count:
            raise DatasetError(
                f"{picture.unit.label}: {len(best)} examples are too few for {picture.start.count} starts; "
                "raise scan.top_k and scan.bottom_k, or take fewer facets"
            )
        wanted = best[:1] if picture.start.kind == "example" else best
        images = self._images([str(example["example_id"]) for example in wanted])
        if picture.start.kind == "facet":
            groups = clusters(_features(target, images), picture.start.count)
            images = images[groups == picture.start.index]
        return resize(images.mean(dim=0, keepdim=True), height=size[0], width=size[1])[0]

    def _images(self, example_ids: Sequence[str]) -> Tensor:
        source, preprocessing = open_source(self._config.dataset), Preprocessing(self._config.model.input)
        pixels = np.stack([preprocessing.apply(source.read(example_id)) for example_id in example_ids])
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255

    def of_layer(self, layer: LayerSpec, files: Sequence[str]) -> LayerScan:
        """Return what the scan's `files` say about each channel of a layer; the last layer is remembered."""
        if self._known is None or self._known[0] != layer.name:
            self._known = (layer.name, read_layer_scan(self._store, files, layer, self._config.scan))
        return self._known[1]


def with_partner(unit: Coactive, scan: LayerScan) -> Sum:
    """Return the channel plus the channel whose spatial means follow its own most closely over the sample.

    The channel alone where nothing does: where it, or every other, is constant.
    """
    channels = [unit.channel, *(int(one["channel"]) for one in scan.partners(unit.channel)[:1])]
    return Sum(terms=tuple(Term(weight=1.0, unit=Channel(layer=unit.layer, channel=one)) for one in channels))


@torch.inference_mode()
def _features(target: Target, images: Tensor) -> NDArray[np.float64]:
    """Return what the layer makes of each image, its maps' spatial means of unit length: (images, channels)."""
    maps = target.maps(images.to(target.device))[target.layers[0].name]
    means = torch.nn.functional.normalize(maps.float().mean(dim=(2, 3)), dim=1)
    features: NDArray[np.float64] = means.double().cpu().numpy()
    return features


def clusters(features: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Return the cluster of each row: k-means from centres as far apart as can be, the same every time.

    No cluster is empty as long as there are `count` rows. Clusters are numbered by size, the largest first.
    """
    centres = features[_far_apart(features, count)]
    for _ in range(ROUNDS):
        own = np.square(features[:, None] - centres[None]).sum(axis=2).argmin(axis=1)
        for number in range(count):
            if not (own == number).any():  # equal rows: give it the row that fits worst where others stay behind
                shared = np.bincount(own, minlength=count)[own] > 1
                own[np.where(shared, np.square(features - centres[own]).sum(axis=1), -1.0).argmax()] = number
        centres = np.stack([features[own == number].mean(axis=0) for number in range(count)])
    order = sorted(range(count), key=lambda number: (-int((own == number).sum()), int(np.argmax(own == number))))
    renamed = np.empty(count, dtype=np.int64)
    renamed[order] = np.arange(count)
    labels: NDArray[np.int64] = renamed[own]
    return labels


def _far_apart(features: NDArray[np.float64], count: int) -> list[int]:
    """Return `count` rows: the first (the unit's best example), then each time the one farthest from those chosen."""
    chosen = [0]
    while len(chosen) < count:
        nearest = np.square(features[:, None] - features[None, chosen]).sum(axis=2).min(axis=1)
        nearest[chosen] = -1.0
        chosen.append(int(nearest.argmax()))
    return chosen
