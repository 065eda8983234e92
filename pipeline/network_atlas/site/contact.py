"""A contact sheet: pictures of an atlas side by side in one PNG.

A row for each unit, a column for each variant. With a single variant that would be one long column, so there the units
stand in a grid, each below its name.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from network_atlas.site.packing import columns_of, pictures_by_column
from network_atlas.site.sheets import see_through

Row = Mapping[str, Any]

MARGIN_PX = 6
HEAD_PX = 34
NAME_PX = 150
TEXT_PX = 12
PAPER = (250, 250, 250)
INK = (40, 40, 40)


def contact_sheet(rows: Sequence[Row], *, cell_px: int = 160) -> bytes:
    """Return the pictures of atlas rows as one PNG. Where a unit does not have a variant, the cell is empty."""
    variants = columns_of(rows)
    sheet = _grid(rows, cell_px) if len(variants) == 1 else _table(rows, variants, cell_px)
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG")
    return buffer.getvalue()


def _grid(rows: Sequence[Row], cell_px: int) -> Image.Image:
    """Return the only picture of each row, in reading order, in a grid that is as wide as high."""
    columns = math.ceil(math.sqrt(len(rows)))
    lines = math.ceil(len(rows) / columns)
    right, down = cell_px + MARGIN_PX, HEAD_PX + cell_px + MARGIN_PX
    sheet = Image.new("RGB", (MARGIN_PX + columns * right, HEAD_PX + lines * down), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(TEXT_PX)
    variant = next(picture["variant"] for row in rows for picture in row["visualizations"])
    _write(draw, font, variant, (MARGIN_PX, 4), columns * right)
    for number, row in enumerate(rows):
        line, column = divmod(number, columns)
        left, top = MARGIN_PX + column * right, HEAD_PX + line * down
        _write(draw, font, row.get("class_name") or row["unit"], (left, top + 4), cell_px)
        for picture in row["visualizations"]:
            sheet.paste(_cell(picture, cell_px), (left, top + HEAD_PX))
    return sheet


def _table(rows: Sequence[Row], variants: Sequence[str], cell_px: int) -> Image.Image:
    step = cell_px + MARGIN_PX
    sheet = Image.new("RGB", (NAME_PX + len(variants) * step + MARGIN_PX, HEAD_PX + len(rows) * step), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(TEXT_PX)
    for column, variant in enumerate(variants):
        _write(draw, font, variant, (NAME_PX + column * step, 4), cell_px)
    for number, row in enumerate(rows):
        top = HEAD_PX + number * step
        middle = top + cell_px // 2 - TEXT_PX
        _write(draw, font, row.get("class_name") or row["unit"], (MARGIN_PX, middle), NAME_PX - 2 * MARGIN_PX)
        for variant, picture in pictures_by_column(row).items():
            left = NAME_PX + variants.index(variant) * step
            sheet.paste(_cell(picture, cell_px), (left, top))
    return sheet


def _cell(picture: Row, cell_px: int) -> Image.Image:
    data: bytes = picture["image"]["bytes"]
    if picture.get("opacity"):
        data = see_through(data, picture["opacity"]["bytes"])
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        scale = cell_px / max(image.size)
        size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        resized = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    cell = Image.new("RGB", (cell_px, cell_px), PAPER)
    cell.paste(resized, ((cell_px - resized.width) // 2, (cell_px - resized.height) // 2))
    return cell


def _write(draw: ImageDraw.ImageDraw, font: Any, text: str, corner: tuple[int, int], width_px: int) -> None:
    """Write text below and right of a corner, (x, y) in pixels: two lines at most, cut off at the width."""
    lines: list[str] = [""]
    for word in text.replace("→", "to").split(" "):  # the font that comes with Pillow has no arrow
        longer = f"{lines[-1]} {word}".strip()
        if draw.textlength(longer, font=font) <= width_px or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    for number, line in enumerate(lines[:2]):
        while line and draw.textlength(line, font=font) > width_px:
            line = line[:-1]
        draw.text((corner[0], corner[1] + number * (TEXT_PX + 2)), line, fill=INK, font=font)
