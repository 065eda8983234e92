"""From an image to the model's input, and back from the input's pixels to the image's.

    preprocessing = Preprocessing(config.model.input)
    pixels = preprocessing.apply(image)          # uint8, `(rows, columns, channels)`

The geometry is that of torchvision's Resize and CenterCrop, done in one step: only the part of the image that
ends in the crop is resampled. So an image of 1 x 100,000 pixels costs as much as any other. Value range, mean
and standard deviation are applied later, on the device (`models.load.normalize`).

Sizes are (height, width); boxes are (top, left, bottom, right), in pixels from the upper left corner.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from network_atlas.config.schema import InputConfig
from network_atlas.errors import ConfigError

Box = tuple[float, float, float, float]

MODES = {1: "L", 3: "RGB"}
RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How an image becomes the model's input."""

    config: InputConfig

    def apply(self, image: Image.Image) -> NDArray[np.uint8]:
        """Return the pixels of the model's input, `(rows, columns, channels)`, 0..255.

        Raises ConfigError for an input that no image can fill.
        """
        if self.config.channels not in MODES:
            raise ConfigError(
                f"model.input.channels={self.config.channels}: images have colours (3 channels) or luminance (1) and "
                f"cannot fill {self.config.channels}; set it to 3 or 1, or use dataset=none"
            )
        mode = MODES[self.config.channels]
        whole = (0, 0, self.config.height, self.config.width)
        top, left, bottom, right = self.source_box((image.height, image.width), whole)
        resized = (image if image.mode == mode else image.convert(mode)).resize(
            (self.config.width, self.config.height),
            RESAMPLING[self.config.interpolation],
            box=(left, top, right, bottom),
        )
        return np.array(resized, dtype=np.uint8).reshape(self.config.height, self.config.width, self.config.channels)

    @property
    def side_min_px(self) -> int:
        """Return the shorter side down to which a JPEG may be decoded reduced: twice what it is then resized to.

        At once that size the input would change by 0.9 to 2.2 of 255 on average, at twice by 0.3 to 0.6 and only where
        the shorter side is four times as long; decoding is about twice as fast there.
        """
        return 2 * max(self.config.resize, self.config.height, self.config.width)

    def source_box(self, image_size: tuple[int, int], region: Box) -> Box:
        """Return the box of an image of `image_size` (height, width) that ends in `region` of the model's input."""
        resized = self._resized_size(image_size)
        (top, bottom), (left, right) = (
            _to_source(
                (region[axis], region[axis + 2]),
                source=image_size[axis],
                resized=resized[axis],
                crop=(self.config.height, self.config.width)[axis],
            )
            for axis in (0, 1)
        )
        return top, left, bottom, right

    def _resized_size(self, image_size: tuple[int, int]) -> tuple[int, int]:
        """Return the (height, width) that the whole image would be resized to.

        The shorter side becomes `resize`, the longer is rounded down, as in torchvision. Where the crop is longer
        than that (torchvision would pad it with black), the image is made just large enough to cover it.
        """
        height, width = image_size
        resize, shorter = self.config.resize, min(image_size)
        resized = (int(resize * height / shorter), int(resize * width / shorter))
        if resized[0] >= self.config.height and resized[1] >= self.config.width:
            return resized
        scale = max(self.config.height / height, self.config.width / width)
        return max(self.config.height, round(height * scale)), max(self.config.width, round(width * scale))


def _to_source(interval: tuple[float, float], *, source: int, resized: int, crop: int) -> tuple[float, float]:
    """Return an interval of one axis of the crop as an interval of that axis of the source image."""
    start = round((resized - crop) / 2)  # CenterCrop's rounding: halves to even
    first, last = ((start + position) * source / resized for position in interval)
    return max(0.0, first), min(float(source), last)
