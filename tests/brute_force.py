"""Compute the results of a scan another way: all activations in memory, NumPy, one image at a time, no merging."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from tiny_network import build

from network_atlas.config.schema import RunConfig
from network_atlas.dataset import Preprocessing, open_source


@dataclass(frozen=True)
class Known:
    """All outputs of a layer: `maps` (examples, channels, rows, columns), examples sorted by id."""

    ids: list[str]
    labels: list[str]
    maps: NDArray[np.float32]

    @property
    def spatial_maximum(self) -> NDArray[np.float32]:
        return self.maps.reshape(*self.maps.shape[:2], -1).max(axis=2)

    @property
    def spatial_minimum(self) -> NDArray[np.float32]:
        return self.maps.reshape(*self.maps.shape[:2], -1).min(axis=2)

    @property
    def means(self) -> NDArray[np.float64]:
        return self.maps.reshape(*self.maps.shape[:2], -1).mean(axis=2, dtype=np.float64)

    def best(self, values: NDArray[np.floating], channel: int, k: int, *, sign: int) -> list[str]:
        """Return the ids of a channel's best examples by `values` (examples, channels)."""
        order = sorted(range(len(self.ids)), key=lambda n: (-sign * float(values[n, channel]), self.ids[n]))
        return [self.ids[n] for n in order[:k]]

    def best_classes(self, channel: int, k: int) -> list[str]:
        """Return the ids of the best example of each of the classes that hold the channel's best."""
        firsts: dict[str, str] = {}
        for name in self.best(self.spatial_maximum, channel, len(self.ids), sign=1):
            label = self.labels[self.ids.index(name)]
            if label:
                firsts.setdefault(label, name)
        return list(firsts.values())[:k]

    def class_means(self, channel: int) -> dict[str, float]:
        """Return the mean of the spatial means of each class."""
        values: dict[str, list[float]] = defaultdict(list)
        for label, value in zip(self.labels, self.means[:, channel], strict=True):
            values[label].append(float(value))
        return {label: float(np.mean(of_class)) for label, of_class in values.items() if label}

    def selectivity(self, channel: int) -> float:
        """Return 1 minus the share of the variance that remains within classes."""
        values = self.means[:, channel]
        within = sum(
            ((values[np.array(self.labels) == label] - mean) ** 2).sum()
            for label, mean in self.class_means(channel).items()
        )
        return float(1 - within / ((values - values.mean()) ** 2).sum())


def skewness(values: NDArray[np.floating]) -> float:
    distance = values.astype(np.float64) - values.mean(dtype=np.float64)
    return float((distance**3).mean() / (distance**2).mean() ** 1.5)


def activations(config: RunConfig, *, batch: Sequence[int] | None = None) -> dict[str, Known]:
    """Return the outputs of the tiny network's layers on every example of the dataset."""
    source, preprocessing, model = open_source(config.dataset), Preprocessing(config.model.input), build()
    mean = torch.tensor(config.model.input.mean).view(1, -1, 1, 1)
    std = torch.tensor(config.model.input.std).view(1, -1, 1, 1)
    maps: dict[str, list[np.ndarray]] = {"conv1": [], "conv2": [], "fc": []}
    examples = source.examples()
    for example in examples:
        pixels = torch.from_numpy(preprocessing.apply(source.read(example.example_id)).copy())
        # The same image twice: a batch of one takes other code paths in torch, and rounds differently.
        x = ((pixels.permute(2, 0, 1)[None].float() / 255 - mean) / std).repeat(2, 1, 1, 1)
        x = x.contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            conv1 = model.conv1(x)
            conv2 = model.conv2(conv1.relu())
            conv3 = model.conv3(conv2.relu())
            fc = model.fc(model.pool(conv3).flatten(1))
        for name, value in (("conv1", conv1), ("conv2", conv2), ("fc", fc[..., None, None])):
            maps[name].append(value[0].numpy())
    ids, labels = [example.example_id for example in examples], [example.label for example in examples]
    return {name: Known(ids, labels, np.stack(values)) for name, values in maps.items()}
