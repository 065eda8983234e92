from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loaded import loaded_by
from PIL import Image

from network_atlas.cli.main import main
from network_atlas.errors import ConfigError
from network_atlas.site.contact import FOOT_PX, HEAD_PX, MARGIN_PX, NAME_PX, PAGE_SHAPE, contact_sheet

Row = dict[str, Any]


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def middle(sheet: Image.Image, row: int, column: int, cell_px: int) -> tuple[int, ...]:
    step = cell_px + MARGIN_PX
    point = NAME_PX + column * step + cell_px // 2, HEAD_PX + row * step + cell_px // 2
    colour = sheet.getpixel(point)
    assert isinstance(colour, tuple)
    return colour


def test_every_picture_stands_in_its_row_and_column(make_row: Callable[..., Row]) -> None:
    rows = [
        make_row(0, pictures={"channel+": (200, 40, 40), "channel-": (40, 200, 40)}),
        make_row(1, pictures={"channel-": (40, 40, 200)}),
    ]
    sheet = opened(contact_sheet(rows, cell_px=40))
    assert middle(sheet, 0, 0, 40) == (200, 40, 40)
    assert middle(sheet, 0, 1, 40) == (40, 200, 40)
    assert middle(sheet, 1, 1, 40) == (40, 40, 200)
    assert middle(sheet, 1, 0, 40) == (250, 250, 250)  # nothing there


def test_variants_whose_long_names_differ_at_their_ends_alone_can_be_told_apart(make_row: Callable[..., Row]) -> None:
    names = [f"channel+ (steepest_decorrelated_{end})" for end in ("one", "two")]
    row = make_row(0, pictures=dict.fromkeys(names, (200, 40, 40)))
    sheet = opened(contact_sheet([row], cell_px=100))
    first, second = (
        sheet.crop((left, 0, left + 100, sheet.height - FOOT_PX - MARGIN_PX))
        for left in (NAME_PX, NAME_PX + 100 + MARGIN_PX)
    )
    assert first.tobytes() != second.tobytes()
    assert first.getpixel((50, sheet.height - FOOT_PX - MARGIN_PX - 50)) == (200, 40, 40)


def test_units_flow_on_a_sheet_of_the_shape_of_a_page(make_row: Callable[..., Row]) -> None:
    colours = [(200, 4 * number, 40) for number in range(40)]
    rows = [make_row(number, pictures={"channel+": colour}) for number, colour in enumerate(colours)]
    sheet = opened(contact_sheet(rows, cell_px=40))
    assert sheet.height / sheet.width == pytest.approx(PAGE_SHAPE, rel=0.2)
    columns = (sheet.width - MARGIN_PX) // (40 + MARGIN_PX)
    for number, colour in enumerate(colours):
        line, column = divmod(number, columns)
        point = MARGIN_PX + column * (40 + MARGIN_PX) + 20, HEAD_PX + line * (HEAD_PX + 40 + MARGIN_PX) + 20
        assert sheet.getpixel(point) == colour


def test_few_pictures_of_other_seeds_leave_no_empty_column(make_row: Callable[..., Row]) -> None:
    rows = [make_row(number, pictures={"channel+": (200, 40, 40)}) for number in range(30)]
    rows[3] = make_row(3, pictures={"channel+": (200, 40, 40), "channel+@1": (40, 200, 40)})
    sheet = opened(contact_sheet(rows, cell_px=40))
    assert sheet.height / sheet.width == pytest.approx(PAGE_SHAPE, rel=0.25)
    assert (40, 200, 40) in {
        sheet.getpixel((x, y)) for x in range(0, sheet.width, 8) for y in range(0, sheet.height, 8)
    }


@pytest.mark.parametrize(("units", "variants", "pages"), [(150, 1, 4), (3, 2, 1), (9, 4, 1), (2, 9, 1)])
def test_a_pdf_has_pages_of_a4(make_row: Callable[..., Row], units: int, variants: int, pages: int) -> None:
    pictures = {f"channel+ {number}": (200, 40, 40) for number in range(variants)}
    rows = [make_row(number, layer=f"blocks.{number // 50}", pictures=pictures) for number in range(units)]
    data = contact_sheet(rows, cell_px=40, form="PDF")
    assert data.startswith(b"%PDF")
    assert len(re.findall(rb"/Type /Page\b(?!s)", data)) == pages
    boxes = {tuple(float(number) for number in box.split()) for box in re.findall(rb"/MediaBox \[([^]]*)\]", data)}
    ((_, _, width, height),) = boxes
    assert (width, height) == pytest.approx((210 / 25.4 * 72, 297 / 25.4 * 72), abs=1.5)


def test_two_pictures_of_one_name_both_stand_on_the_sheet(make_row: Callable[..., Row]) -> None:
    row = make_row(0, pictures={"first": (200, 40, 40), "second": (40, 200, 40)})
    for shown in row["visualizations"]:
        shown["variant"] = "channel+"
    sheet = opened(contact_sheet([row], cell_px=40))
    assert [middle(sheet, 0, column, 40) for column in (0, 1)] == [(200, 40, 40), (40, 200, 40)]


@pytest.mark.parametrize("variants", [1, 2])
@pytest.mark.parametrize("form", ["PNG", "PDF"])
def test_a_sheet_that_fits_into_no_memory_is_refused(make_row: Callable[..., Row], variants: int, form: str) -> None:
    pictures = {f"channel+ {number}": (200, 40, 40) for number in range(variants)}
    with pytest.raises(ConfigError, match="pixels, of at most 500,000,000: give a smaller --size"):
        contact_sheet([make_row(0, pictures=pictures)], cell_px=100_000, form=form)


def test_opacity_lets_grey_through(make_row: Callable[..., Row]) -> None:
    row = make_row(0, pictures={"channel+": (200, 40, 40)})
    shown = row["visualizations"][0]
    size = opened(shown["image"]["bytes"]).size
    buffer = io.BytesIO()
    Image.fromarray(np.full(size[::-1], 0, np.uint8)).save(buffer, format="PNG")
    shown["opacity"] = {"bytes": buffer.getvalue(), "path": None}
    sheet = opened(contact_sheet([row], cell_px=40))
    assert sheet.getpixel((MARGIN_PX + 20, HEAD_PX + 20)) == (128, 128, 128)


def test_the_command_writes_a_sheet_of_the_layers_asked_for(atlas_root: Path, tmp_path: Path) -> None:
    whole, part = tmp_path / "whole.png", tmp_path / "part.png"
    assert main(["sheet", str(atlas_root), "--output", str(whole), "--size", "16"]) == 0
    assert main(["sheet", str(atlas_root), "--layer", "conv2", "--output", str(part), "--size", "16"]) == 0
    tall, short = (opened(path.read_bytes()) for path in (whole, part))
    # A sheet of all layers is a page; of one, a table of six units and two variants.
    assert tall.height * tall.width > 2 * short.height * short.width
    assert short.height == HEAD_PX + 6 * (16 + MARGIN_PX) + FOOT_PX


def test_the_command_loads_none_of_the_large_libraries(atlas_root: Path, tmp_path: Path) -> None:
    words = ["sheet", str(atlas_root), "--output", str(tmp_path / "sheet.png")]
    program = f"import network_atlas.cli.main\nnetwork_atlas.cli.main.main({words!r})"
    assert loaded_by(program, ("torch", "ray", "hydra", "pandas", "polars", "scipy")) == []


def test_a_sheet_is_never_written_under_the_name_of_another_format(
    atlas_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sheet", str(atlas_root), "--output", str(tmp_path / "sheet.jpg")]) == 1
    assert "a name that ends in .png or .pdf" in capsys.readouterr().err
    assert not (tmp_path / "sheet.jpg").exists()


def test_an_unknown_layer_is_named_with_the_nearest(atlas_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sheet", str(atlas_root), "--layer", "conv22"]) == 1
    assert "Did you mean 'conv2'" in capsys.readouterr().err
