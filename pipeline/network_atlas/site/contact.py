"""A contact sheet: pictures of an atlas side by side, as one PNG or as a PDF of A4 pages.

A few units with several variants stand in a table: a row for each unit, a column for each variant. Everything else
flows in lines, layer after layer, each picture below the name of its unit, on a sheet of about the shape of a page.
"""

from __future__ import annotations

import io
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeAlias

from PIL import Image, ImageDraw

from network_atlas.analysis.shown import shown, shown_size
from network_atlas.errors import ConfigError, counted
from network_atlas.site.lettering import fitted, font_for
from network_atlas.site.packing import columns_of, pictures_by_column
from network_atlas.store.png import side_by_side

Row = Mapping[str, Any]
_Cells: TypeAlias = "tuple[tuple[str, Row], ...]"

MARGIN_PX = 6
HEAD_PX = 34
FOOT_PX = 40
NAME_PX = 150
TEXT_PX, HEADING_PX = 12, 16
PAPER = (250, 250, 250)
INK = (40, 40, 40)
FAINT = (110, 110, 110)
PAGE_SHAPE = math.sqrt(2)
"""Height over width of a page (ISO 216)."""
PAGE_WIDTH_INCHES = 210 / 25.4
"""Of an A4 page."""
PAGE_QUALITY = 92
"""Of the JPEGs in which a PDF holds its pages."""
PAGE_COLUMNS = 8
"""Pictures side by side on a page of a PDF."""
TABLE_SHAPE = 2.0
"""A table that is higher than this many widths is no page, and flows instead."""
MOST_PIXELS = 500_000_000
"""Of a sheet or a page: 1.5 GB of memory."""
CREDITS = "Feature visualization after Olah, Mordvintsev and Schubert (2017)"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """One line of a sheet that flows: the name of a layer, or some pictures with their units' names."""

    heading: str = ""
    cells: _Cells = ()

    def height_px(self, cell_px: int) -> int:
        return HEAD_PX if self.heading else HEAD_PX + cell_px + MARGIN_PX


def contact_sheet(rows: Sequence[Row], *, cell_px: int = 160, form: str = "PNG") -> bytes:
    """Return the pictures of atlas rows as one PNG, or as the pages of a PDF (`form`).

    Where a unit does not have a variant that others have, its cell in a table is empty.
    Raises ConfigError for a sheet, or a page, of more than MOST_PIXELS.
    """
    variants = columns_of(rows)
    width, height = _table_size(rows, variants, cell_px)
    if len(variants) > 1 and height <= TABLE_SHAPE * width:
        pages = [_table(rows, variants, cell_px)]
    elif form == "PDF":
        pages = _pages(rows, cell_px)
    else:
        pages = [_one_page(rows, cell_px)]
    buffer = io.BytesIO()
    if form == "PDF":
        first, *others = map(_on_paper, pages)
        size = {"resolution": first.width / PAGE_WIDTH_INCHES, "quality": PAGE_QUALITY}
        first.save(buffer, format=form, save_all=True, append_images=others, **size)
    else:
        pages[0].save(
            buffer, format=form, compress_level=1, compress_type=zlib.Z_RLE
        )  # pictures repeat nothing: as small, in 0.6 of the time
    return buffer.getvalue()


def _on_paper(sheet: Image.Image) -> Image.Image:
    """Return a sheet with margins that give it the shape of a page."""
    width = max(sheet.width, math.ceil(sheet.height / PAGE_SHAPE))
    page = _blank(width, max(sheet.height, round(PAGE_SHAPE * width)))
    page.paste(sheet, ((width - sheet.width) // 2, 0))
    return page


def _blank(width_px: int, height_px: int) -> Image.Image:
    if width_px * height_px > MOST_PIXELS:
        raise ConfigError(
            f"the sheet would have {width_px:,} x {height_px:,} pixels, of at most {MOST_PIXELS:,}: give a smaller "
            "--size, fewer --units of each layer, some layers with --layer, or a PDF of several pages"
        )
    return Image.new("RGB", (width_px, height_px), PAPER)


def _cells(rows: Sequence[Row]) -> list[tuple[str, _Cells]]:
    """Return each layer's name, or '', with its pictures and their captions."""
    return [
        (
            layer,
            tuple(
                (f"{row.get('class_name') or row['unit']} {'' if number == 0 else variant}".strip(), picture)
                for row in of_layer
                for number, (variant, picture) in enumerate(pictures_by_column(row).items())
            ),
        )
        for layer, of_layer in groupby(rows, key=lambda row: str(row.get("layer") or ""))
    ]


def _lines(layers: Sequence[tuple[str, _Cells]], columns: int) -> Iterator[_Line]:
    for layer, cells in layers:
        if layer:
            yield _Line(heading=layer)
        for start in range(0, len(cells), columns):
            yield _Line(cells=cells[start : start + columns])


def _width_px(columns: int, cell_px: int) -> int:
    return MARGIN_PX + columns * (cell_px + MARGIN_PX)


def _one_page(rows: Sequence[Row], cell_px: int) -> Image.Image:
    """Return all pictures on one sheet, with as many columns as bring it nearest to the shape of a page."""
    layers = _cells(rows)
    pictures = sum(len(cells) for _, cells in layers)

    def distance(columns: int) -> float:
        height = FOOT_PX + sum(line.height_px(cell_px) for line in _lines(layers, columns))
        return abs(math.log(height / _width_px(columns, cell_px) / PAGE_SHAPE))

    columns = min(range(1, min(pictures, 64) + 1), key=distance)
    lines = list(_lines(layers, columns))
    return _page(lines, rows, columns, cell_px, FOOT_PX + sum(line.height_px(cell_px) for line in lines))


def _pages(rows: Sequence[Row], cell_px: int) -> list[Image.Image]:
    """Return the pictures on pages of A4's shape; the name of a layer never stands last on a page."""
    height = round(PAGE_SHAPE * _width_px(PAGE_COLUMNS, cell_px))
    pages: list[list[_Line]] = [[]]
    lines = list(_lines(_cells(rows), PAGE_COLUMNS))
    for number, line in enumerate(lines):
        together = [line, *lines[number + 1 : number + 2]] if line.heading else [line]
        used = sum(each.height_px(cell_px) for each in (*pages[-1], *together))
        if pages[-1] and used > height - FOOT_PX:
            pages.append([])
        pages[-1].append(line)
    return [_page(lines, rows, PAGE_COLUMNS, cell_px, height) for lines in pages]


def _page(lines: Sequence[_Line], rows: Sequence[Row], columns: int, cell_px: int, height_px: int) -> Image.Image:
    sheet = _blank(_width_px(columns, cell_px), height_px)
    draw = ImageDraw.Draw(sheet)
    top = 0
    for line in lines:
        if line.heading:
            _write(draw, line.heading, (MARGIN_PX, top + 10), sheet.width - 2 * MARGIN_PX, text_px=HEADING_PX, lines=1)
        for column, (name, picture) in enumerate(line.cells):
            left = MARGIN_PX + column * (cell_px + MARGIN_PX)
            _write(draw, name, (left, top + 4), cell_px)
            sheet.paste(_cell(picture, cell_px), (left, top + HEAD_PX))
        top += line.height_px(cell_px)
    _foot(sheet, rows, cell_px)
    return sheet


def _table_size(rows: Sequence[Row], variants: Sequence[str], cell_px: int) -> tuple[int, int]:
    step = cell_px + MARGIN_PX
    return NAME_PX + len(variants) * step + MARGIN_PX, HEAD_PX + len(rows) * step + FOOT_PX


def _table(rows: Sequence[Row], variants: Sequence[str], cell_px: int) -> Image.Image:
    step = cell_px + MARGIN_PX
    sheet = _blank(*_table_size(rows, variants, cell_px))
    draw = ImageDraw.Draw(sheet)
    for column, variant in enumerate(variants):
        _write(draw, variant, (NAME_PX + column * step, 4), cell_px)
    for number, row in enumerate(rows):
        top = HEAD_PX + number * step
        middle = top + cell_px // 2 - TEXT_PX
        _write(draw, row.get("class_name") or row["unit"], (MARGIN_PX, middle), NAME_PX - 2 * MARGIN_PX)
        for variant, picture in pictures_by_column(row).items():
            left = NAME_PX + variants.index(variant) * step
            sheet.paste(_cell(picture, cell_px), (left, top))
    _foot(sheet, rows, cell_px)
    return sheet


def _foot(sheet: Image.Image, rows: Sequence[Row], cell_px: int) -> None:
    """Write at the lower edge what the sheet shows, at which scale, and whom the method is from."""
    first = next(picture for row in rows for picture in row["visualizations"])
    channels = side_by_side(first["image"]["bytes"])
    with Image.open(io.BytesIO(first["image"]["bytes"])) as image:
        size = f"{image.width // channels} x {image.height} px"
    scale = f"shown at {round(100 * cell_px / max(shown_size(first)))} %"
    each = f" in {channels} channels" if channels > 1 else ""
    model = f"{rows[0]['model']}: " if rows[0].get("model") else ""
    text = f"{model}{counted(len(rows), 'unit')}; pictures of {size}{each}, {scale}. {CREDITS}"
    corner = MARGIN_PX, sheet.height - FOOT_PX + 6
    _write(ImageDraw.Draw(sheet), text, corner, sheet.width - 2 * MARGIN_PX, colour=FAINT)


def _cell(picture: Row, cell_px: int) -> Image.Image:
    with Image.open(io.BytesIO(shown(picture))) as image:
        image.load()
        scale = cell_px / max(image.size)
        size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        resized = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    cell = Image.new("RGB", (cell_px, cell_px), PAPER)
    cell.paste(resized, ((cell_px - resized.width) // 2, (cell_px - resized.height) // 2))
    return cell


def _write(
    draw: ImageDraw.ImageDraw,
    text: str,
    corner: tuple[int, int],
    width_px: int,
    *,
    text_px: int = TEXT_PX,
    lines: int = 2,
    colour: tuple[int, int, int] = INK,
) -> None:
    """Write text below and right of a corner, (x, y) in pixels: so many lines at most, of this width."""
    text = text.replace("→", "to")  # few fonts have an arrow
    font = font_for(text, text_px)
    fitting = fitted(text, lambda line: draw.textlength(line, font=font) <= width_px, lines)
    for number, line in enumerate(fitting):
        draw.text((corner[0], corner[1] + number * (text_px + 2)), line, fill=colour, font=font)
