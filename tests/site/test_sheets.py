"""Sheets: every cell shows its picture."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from PIL import Image

from network_atlas.site.sheets import COLUMNS, pack

GREY = (128, 128, 128)


def colour(number: int) -> tuple[int, int, int]:
    return (number * 37) % 256, (number * 91) % 256, (number * 53) % 256


def size(data: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(data)) as image:
        return image.height, image.width


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 16, 17, 64, 100])
def test_every_cell_shows_its_own_picture(
    count: int, encoded: Callable[..., bytes], seen: Callable[..., object]
) -> None:
    sheet = pack([encoded(colour(number)) for number in range(count)], form="PNG")
    assert [seen(sheet.data, sheet.place(number)) for number in range(count)] == [colour(n) for n in range(count)]


@pytest.mark.parametrize("columns", [1, 3, 16])
def test_any_number_of_columns_works(columns: int, encoded: Callable[..., bytes], seen: Callable[..., object]) -> None:
    sheet = pack([encoded(colour(number)) for number in range(20)], form="PNG", columns=columns)
    assert [seen(sheet.data, sheet.place(number)) for number in range(20)] == [colour(n) for n in range(20)]


def test_an_empty_cell_is_grey_and_moves_nothing(encoded: Callable[..., bytes], seen: Callable[..., object]) -> None:
    sheet = pack([encoded(colour(1)), None, encoded(colour(3))], form="PNG")
    assert [seen(sheet.data, sheet.place(cell)) for cell in range(3)] == [colour(1), GREY, colour(3)]


def test_smaller_pictures_are_enlarged_and_centred_rows_before_columns(encoded: Callable[..., bytes]) -> None:
    sheet = pack([encoded((255, 0, 0), height=4, width=6), encoded((0, 0, 255), height=10, width=20)], form="PNG")
    assert (sheet.cell_height_px, sheet.cell_width_px) == (10, 20)
    assert size(sheet.data) == (10, 40)
    with Image.open(io.BytesIO(sheet.data)) as image:
        red = image.point(lambda value: value if value == 255 else 0).getchannel("R").getbbox()
    assert red == (2, 0, 17, 10)


def test_no_pictures_make_one_small_cell() -> None:
    sheet = pack([], form="PNG")
    assert (sheet.columns, sheet.rows) == (1, 1)
    assert size(sheet.data) == (1, 1)


def test_few_pictures_make_no_empty_columns(encoded: Callable[..., bytes]) -> None:
    assert pack([encoded(GREY)] * 3, form="PNG").columns == 3
    assert pack([encoded(GREY)] * (COLUMNS + 1), form="PNG").columns == COLUMNS


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "I;16"])
def test_pictures_of_any_mode_are_accepted(mode: str) -> None:
    buffer = io.BytesIO()
    Image.new(mode, (5, 4)).save(buffer, format="PNG")
    assert size(pack([buffer.getvalue()], form="PNG").data) == (4, 5)


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_the_form_is_the_one_asked_for_and_bytes_repeat(form: str, encoded: Callable[..., bytes]) -> None:
    images = [encoded(colour(number)) for number in range(5)]
    sheet = pack(images, form=form)
    assert pack(images, form=form).data == sheet.data
    with Image.open(io.BytesIO(sheet.data)) as image:
        assert image.format == form
