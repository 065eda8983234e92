"""The part of an image that a position of a layer sees: its box, and a crop of it from the original image's pixels.

    box = seen_box(layer, row, column, config.model.input)     # in the model's input
    original_box((image.height, image.width), preprocessing, box)      # in the image
    crop(image, preprocessing, box, side_px=96)                # WebP

Boxes are (top, left, bottom, right), in pixels. In the model's input they may reach beyond its edges.
"""

from __future__ import annotations

import io
import math

from PIL import Image

from network_atlas.config.schema import InputConfig
from network_atlas.dataset.preprocessing import Box, Preprocessing
from network_atlas.layers import LayerSpec

WEBP_QUALITY, WEBP_METHOD = 80, 2
"""Half the size of a JPEG of quality 90. Methods above 2 save a twentieth more and take twice the time."""
SIDE_MIN_PX = 16
"""Smallest side of a crop in the model's input: the 3 pixels that a first layer sees show a person nothing."""


def seen_box(layer: LayerSpec, row: int, column: int, config: InputConfig) -> Box:
    """Return the box of the model's input that position (row, column) of a layer sees.

    This is the receptive field as measured. Where only its size is known, it is a square of that size at the position's
    share of the input. For a token it is the token's patch, although through attention it sees more. It is the whole
    input for class tokens, for tokens that are not patches (latent queries), vectors, and wherever nothing is known.
    """
    whole = (0.0, 0.0, float(config.height), float(config.width))
    if layer.tokens is not None:
        return (_patch(row, layer.tokens, config) if layer.is_raster else None) or whole
    if layer.receptive_field is not None:
        return layer.receptive_field.box(row, column)
    side, (rows, columns) = layer.receptive_field_px, layer.positions
    if side is None or side >= max(config.height, config.width):
        return whole
    middle = ((row + 0.5) / rows * config.height, (column + 0.5) / columns * config.width)
    return middle[0] - side / 2, middle[1] - side / 2, middle[0] + side / 2, middle[1] + side / 2


def _patch(token: int, tokens: int, config: InputConfig) -> Box | None:
    """Return the patch of a token, where the tokens are a grid over the input, alone or behind one class token."""
    for extra in (0, 1):
        rows = math.isqrt(round((tokens - extra) * config.height / config.width))
        columns = (tokens - extra) // rows if rows else 0
        if rows and rows * columns == tokens - extra and rows * config.width == columns * config.height:
            if token < extra:
                return None
            row, column = divmod(token - extra, columns)
            height, width = config.height / rows, config.width / columns
            return row * height, column * width, (row + 1) * height, (column + 1) * width
    return None


def original_box(image_size: tuple[int, int], preprocessing: Preprocessing, box: Box) -> Box:
    """Return a box of the model's input in pixels of an image, cut to the part that the model is shown.

    `image_size` is (height, width).
    """
    config = preprocessing.config
    top, left, bottom, right = box
    inside = (max(0.0, top), max(0.0, left), min(float(config.height), bottom), min(float(config.width), right))
    return preprocessing.source_box(image_size, inside)


def crop(image: Image.Image, preprocessing: Preprocessing, box: Box, *, side_px: int) -> bytes:
    """Return a WebP image of a box of the model's input, from the pixels of `image`.

    A side of less than 16 px of the input becomes 16. A box that reaches beyond the input is moved inside, and cut
    where it is larger than the input. The longer side of the result is `side_px`.
    """
    part = crop_box(box, preprocessing.config)
    source = preprocessing.source_box((image.height, image.width), part)
    return webp(resized(image, source, size_within(part, side_px)), WEBP_QUALITY)


def size_within(box: Box, side_px: int) -> tuple[int, int]:
    """Return the height and width of a box whose longer side is made `side_px`."""
    height, width = (side_px * side / longer_side(box) for side in (box[2] - box[0], box[3] - box[1]))
    return max(1, round(height)), max(1, round(width))


def longer_side(box: Box) -> float:
    return max(box[2] - box[0], box[3] - box[1])


def crop_box(box: Box, config: InputConfig) -> Box:
    """Return the part of the model's input that a crop of `box` shows: made large enough, and moved or cut to it."""
    (top, bottom), (left, right) = (
        _interval(box[0], box[2], config.height),
        _interval(box[1], box[3], config.width),
    )
    return top, left, bottom, right


def _interval(start: float, stop: float, length: int) -> tuple[float, float]:
    """Return an interval, made long enough, cut to and moved inside 0..`length`."""
    side = min(max(stop - start, SIDE_MIN_PX), length)
    first = min(max(0.0, (start + stop - side) / 2), length - side)
    return first, first + side


def resized(image: Image.Image, box: Box, size: tuple[int, int]) -> Image.Image:
    """Return the `box` of `image` in `size` (height, width), as RGB."""
    top, left, bottom, right = box
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    return rgb.resize(size[::-1], Image.Resampling.LANCZOS, box=(left, top, right, bottom))


def webp(image: Image.Image, quality: int, *, method: int = WEBP_METHOD) -> bytes:
    """Return an image as WebP; a higher `method`, 0 to 6, takes longer and fewer bytes."""
    stream = io.BytesIO()
    image.save(stream, format="WEBP", quality=quality, method=method)
    return stream.getvalue()
