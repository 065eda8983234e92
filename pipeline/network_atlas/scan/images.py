"""Statistics of the images themselves: frequency magnitudes and colours, summed over some of a span's sample."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from network_atlas.config.schema import InputConfig
from network_atlas.pictures.parameterizations.maco import magnitude_of


class ImageStatistics:
    """Sums over preprocessed images, in float64. Images are added one by one, so batches do not change the sums."""

    def __init__(self, config: InputConfig) -> None:
        self._config = config
        self._count = 0
        channels, height, width = config.channels, config.height, config.width
        self._magnitude = np.zeros((channels, height, width // 2 + 1))
        self._colour = np.zeros(channels)
        self._product = np.zeros((channels, channels))

    def add(self, images: Sequence[NDArray[np.uint8]]) -> None:
        """Take in images, each (height, width, channels)."""
        if not images:
            return
        batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
        for pixels, magnitude in zip(batch, magnitude_of(batch).numpy(), strict=True):
            self._magnitude += magnitude
            colours = pixels.flatten(1).double()
            self._colour += colours.mean(dim=1).numpy()
            self._product += (colours @ colours.T / colours.shape[1]).numpy()
            self._count += 1

    def row(self, ids: Sequence[str]) -> dict[str, object]:
        """Return the sums of a span with the examples `ids`, as `store.scan_schemas.DATASET_PARTIALS` has them."""
        return {
            "start": 0,
            "stop": len(ids),
            "first": ids[0],
            "count": self._count,
            "height": self._config.height,
            "width": self._config.width,
            "channels": self._config.channels,
            "magnitude_sum": self._magnitude.flatten(),
            "colour_sum": self._colour,
            "colour_product_sum": self._product.flatten(),
        }
