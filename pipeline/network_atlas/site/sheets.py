"""Pack many small pictures into few large ones (sprite sheets), and say where each lies.

A whole network has tens of thousands of pictures; as files of their own they would be slow to write, copy and serve.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image

COLUMNS = 8
GREY = (128, 128, 128)
OPTIONS: dict[str, dict[str, int]] = {
    "JPEG": {"quality": 88},
    "PNG": {"compress_level": 6},
    "WEBP": {"quality": 86, "method": 4},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a cell lies in its sheet, as SVG says it."""

    box: tuple[int, int, int, int]
    """Left, top, width and height in pixels: an SVG's `viewBox`."""
    width_px: int
    """Of the whole sheet."""
    height_px: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """One packed picture: a grid of equal cells, filled row by row."""

    data: bytes
    columns: int
    rows: int
    cell_height_px: int
    cell_width_px: int

    def place(self, cell: int) -> Place:
        """Return where one cell lies."""
        row, column = divmod(cell, self.columns)
        height, width = self.cell_height_px, self.cell_width_px
        return Place(
            box=(column * width, row * height, width, height),
            width_px=self.columns * width,
            height_px=self.rows * height,
        )


def pack(images: Sequence[bytes | None], *, form: str, columns: int = COLUMNS, longest_px: int = 0) -> Sheet:
    """Return `images` (encoded, any sizes) as one sheet, `form` 'PNG', 'WEBP' or 'JPEG'; None leaves a cell empty.

    Cells are as large as the largest image, but their longer side no more than `longest_px` (0: any). Other images are
    enlarged or reduced until they fit, and centred.
    """
    decoded = [_decode(data) if data else None for data in images]
    width = max((image.width for image in decoded if image), default=1)
    height = max((image.height for image in decoded if image), default=1)
    reduced = min(1.0, longest_px / max(width, height)) if longest_px else 1.0
    width, height = max(1, round(width * reduced)), max(1, round(height * reduced))
    columns = max(1, min(columns, len(decoded)))
    rows = max(1, math.ceil(len(decoded) / columns))
    sheet = Image.new("RGB", (columns * width, rows * height), GREY)
    for number, image in enumerate(decoded):
        if image is not None:
            image = _fitted(image, width, height)
            row, column = divmod(number, columns)
            left = column * width + (width - image.width) // 2
            sheet.paste(image, (left, row * height + (height - image.height) // 2))
    return Sheet(data=_encode(sheet, form), columns=columns, rows=rows, cell_height_px=height, cell_width_px=width)


def tiled(images: Mapping[tuple[int, int], bytes], grid: int, longest_px: int) -> bytes:
    """Return a square WebP of `grid` x `grid` tiles: encoded images at their (row, column), the rest see-through.

    Its side is `longest_px` or less, so that each tile is of whole pixels.
    """
    side = max(1, longest_px // grid)
    whole = Image.new("RGBA", (grid * side, grid * side))
    for (row, column), data in images.items():
        whole.paste(_fitted(_decode(data), side, side), (column * side, row * side))
    return _encode(whole, "WEBP")


def _fitted(image: Image.Image, width: int, height: int) -> Image.Image:
    scale = min(width / image.width, height / image.height)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image if size == image.size else image.resize(size, Image.Resampling.LANCZOS)


def _decode(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data)) as image:
        return image.convert("RGB")


def _encode(image: Image.Image, form: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=form, **OPTIONS[form])
    return buffer.getvalue()
