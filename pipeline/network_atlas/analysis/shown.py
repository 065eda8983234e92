"""A stored picture as pages, sheets and notebooks show it.

    data = shown(row["visualizations"][0])     # PNG

What was of no importance while it was made is grey. Channels that are not colours, such as the bands of a satellite's
images, stand in a grid, each above its number.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from network_atlas.store.png import side_by_side

GREY = (128, 128, 128)
GROUND, LETTERS = (60, 60, 62), (255, 255, 255)
GAP_PX = 2
"""Between two channels."""
NUMBER_SHARE = 0.06
"""Height of a number, as a share of the width of the whole grid: it can be read in a small version, too."""
LEAST_NUMBER_PX = 9

Picture = Mapping[str, Any]


def shown(picture: Picture) -> bytes:
    """Return a picture (a struct of the column `visualizations`) as PNG."""
    data: bytes = picture["image"]["bytes"]
    count, opacity = side_by_side(data), picture.get("opacity")
    if count == 1 and not opacity:
        return data
    image = _decoded(data, "RGB")
    width = image.width // count
    channels = [image.crop((n * width, 0, (n + 1) * width, image.height)) for n in range(count)]
    if opacity:
        mask = _decoded(opacity["bytes"], "L")
        channels = [Image.composite(channel, Image.new("RGB", channel.size, GREY), mask) for channel in channels]
    buffer = io.BytesIO()
    (channels[0] if count == 1 else _grid(channels)).save(buffer, format="PNG")
    return buffer.getvalue()


def shown_size(picture: Picture) -> tuple[int, int]:
    """Return the width and height in pixels of what `shown` returns, from the picture's first bytes."""
    data: bytes = picture["image"]["bytes"]
    count = side_by_side(data)
    with Image.open(io.BytesIO(data)) as image:
        return image.size if count == 1 else _grid_size(image.width // count, image.height, count)


def _grid_size(width: int, height: int, count: int) -> tuple[int, int]:
    columns = _columns(count)
    lines = math.ceil(count / columns)
    return columns * (width + GAP_PX) - GAP_PX, lines * (height + _number_px(width, height, count))


def _columns(count: int) -> int:
    return math.ceil(math.sqrt(count))


def _number_px(width: int, height: int, count: int) -> int:
    """Return the height of the line below a channel that holds its number."""
    return max(LEAST_NUMBER_PX, min(height // 2, round(NUMBER_SHARE * _columns(count) * width)))


def _grid(channels: Sequence[Image.Image]) -> Image.Image:
    """Return channels row by row, as near to a square as there are channels, each above its number, from 0."""
    width, height = channels[0].size
    number_px = _number_px(width, height, len(channels))
    grid = Image.new("RGB", _grid_size(width, height, len(channels)), GROUND)
    draw, font = ImageDraw.Draw(grid), ImageFont.load_default(number_px)
    for number, channel in enumerate(channels):
        line, column = divmod(number, _columns(len(channels)))
        left, top = column * (width + GAP_PX), line * (height + number_px)
        grid.paste(channel, (left, top))
        middle = left + width / 2, top + height + number_px / 2
        draw.text(middle, str(number), fill=LETTERS, font=font, anchor="mm")
    return grid


def _decoded(data: bytes, mode: str) -> Image.Image:
    with Image.open(io.BytesIO(data)) as image:
        return image.convert(mode)
