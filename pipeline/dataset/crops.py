"""Crops of dataset examples for the pages: what a position of a layer saw, from the original image's pixels."""

from __future__ import annotations

import io

from PIL import Image

from pipeline.dataset.preprocessing import Box, Preprocessing

JPEG_QUALITY = 90
SIDE_MIN_PX = 16
"""Smallest side in the model's input: what a first layer sees alone (3 pixels) shows a person nothing."""


def crop_around(
    image: Image.Image,
    preprocessing: Preprocessing,
    *,
    row: int,
    column: int,
    rows: int,
    columns: int,
    receptive_field_px: int | None,
    side_px: int,
) -> bytes:
    """Return a JPEG of the square of `image` that position (row, column) of a rows x columns map sees.

    The square is that of the receptive field around the position, moved inside the model's input; the whole input
    when the receptive field is larger or None. In an input that is not square a large one is cut to a rectangle.
    The longer side of the result is `side_px`.
    """
    config = preprocessing.config
    side = max(SIDE_MIN_PX, receptive_field_px) if receptive_field_px is not None else max(config.height, config.width)
    top, bottom = _interval((row + 0.5) / rows * config.height, side, config.height)
    left, right = _interval((column + 0.5) / columns * config.width, side, config.width)
    box = preprocessing.source_box((image.height, image.width), (top, left, bottom, right))
    longer = max(bottom - top, right - left)
    size = (max(1, round(side_px * (bottom - top) / longer)), max(1, round(side_px * (right - left) / longer)))
    return _jpeg(image, box, size)


def _interval(centre: float, side: int, length: int) -> tuple[float, float]:
    """Return the interval of `side` around `centre`, cut to and moved inside 0..`length`."""
    side = min(side, length)
    start = min(max(0.0, centre - side / 2), float(length - side))
    return start, start + side


def _jpeg(image: Image.Image, box: Box, size: tuple[int, int]) -> bytes:
    """Return the `box` of `image`, resized to `size` (height, width), as JPEG."""
    top, left, bottom, right = box
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    crop = rgb.resize(size[::-1], Image.Resampling.LANCZOS, box=(left, top, right, bottom))
    stream = io.BytesIO()
    crop.save(stream, format="JPEG", quality=JPEG_QUALITY)
    return stream.getvalue()
