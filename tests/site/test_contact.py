from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from network_atlas.cli.main import main
from network_atlas.site.contact import HEAD_PX, MARGIN_PX, NAME_PX, contact_sheet

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


def test_a_single_variant_makes_a_grid_of_units_and_not_one_column(make_row: Callable[..., Row]) -> None:
    colours = [(200, 40 * number, 40) for number in range(5)]
    rows = [make_row(number, pictures={"channel+": colour}) for number, colour in enumerate(colours)]
    sheet = opened(contact_sheet(rows, cell_px=40))
    across, down = 40 + MARGIN_PX, HEAD_PX + 40 + MARGIN_PX
    assert sheet.size == (MARGIN_PX + 3 * across, HEAD_PX + 2 * down)
    for number, colour in enumerate(colours):
        line, column = divmod(number, 3)
        assert sheet.getpixel((MARGIN_PX + column * across + 20, 2 * HEAD_PX + line * down + 20)) == colour


def test_two_pictures_of_one_name_both_stand_on_the_sheet(make_row: Callable[..., Row]) -> None:
    row = make_row(0, pictures={"first": (200, 40, 40), "second": (40, 200, 40)})
    for shown in row["visualizations"]:
        shown["variant"] = "channel+"
    sheet = opened(contact_sheet([row], cell_px=40))
    assert [middle(sheet, 0, column, 40) for column in (0, 1)] == [(200, 40, 40), (40, 200, 40)]


def test_opacity_lets_grey_through(make_row: Callable[..., Row]) -> None:
    row = make_row(0, pictures={"channel+": (200, 40, 40)})
    shown = row["visualizations"][0]
    size = opened(shown["image"]["bytes"]).size
    buffer = io.BytesIO()
    Image.fromarray(np.full(size[::-1], 0, np.uint8)).save(buffer, format="PNG")
    shown["opacity"] = {"bytes": buffer.getvalue(), "path": None}
    sheet = opened(contact_sheet([row], cell_px=40))
    assert sheet.getpixel((MARGIN_PX + 20, 2 * HEAD_PX + 20)) == (128, 128, 128)


def test_the_command_writes_a_sheet_of_the_layers_asked_for(atlas_root: Path, tmp_path: Path) -> None:
    whole, part = tmp_path / "whole.png", tmp_path / "part.png"
    assert main(["sheet", str(atlas_root), "--output", str(whole), "--size", "16"]) == 0
    assert main(["sheet", str(atlas_root), "--layer", "conv2", "--output", str(part), "--size", "16"]) == 0
    tall, short = (opened(path.read_bytes()).height - HEAD_PX for path in (whole, part))
    assert tall == 3 * short


def test_an_unknown_layer_is_named_with_the_nearest(atlas_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sheet", str(atlas_root), "--layer", "conv22"]) == 1
    assert "Did you mean 'conv2'" in capsys.readouterr().err
