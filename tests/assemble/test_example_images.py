"""Images of examples: each stored once, whole where that pays, and every crop found where the row says it is."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from network_atlas.analysis.example_files import ExampleFiles
from network_atlas.assemble.example_images import SHOWN_OFTEN, ExampleImages
from network_atlas.assemble.examples import Location
from network_atlas.config.compose import compose
from network_atlas.dataset import Preprocessing, open_source
from network_atlas.layers import LayerSpec
from network_atlas.store.root import Store

LAYER = LayerSpec(index=0, name="layer", type="Conv2d", channels=20, height=7, width=7, receptive_field_px=8)
HEIGHT, WIDTH = 300, 400
CROP_PX, IMAGE_PX = 32, 100
Made = tuple[list[dict[str, Any]], list[str], Store]
Make = Callable[..., Made]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of 12 images whose red says the row and whose green the column; blue says which image it is."""
    folder = tmp_path / "photos"
    folder.mkdir()
    red, green = np.mgrid[0:HEIGHT, 0:WIDTH]
    for number in range(12):
        pixels = np.stack([red * 250 / HEIGHT, green * 250 / WIDTH, np.full_like(red, 20 * number)], axis=-1)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number:02d}.png")
    return folder


@pytest.fixture
def stored(photos: Path, tmp_path: Path) -> Make:
    """Return a function that stores the images of rows; it returns the columns of all locations, and the files."""

    def make(rows: list[list[Location]], *, examples: int, whole_images: int = 100) -> Made:
        sizes = [f"crop_px={CROP_PX}", f"image_px={IMAGE_PX}", f"whole_images={whole_images}"]
        config = compose([f'dataset.root="{photos}"', "dataset=folder", *(f"assemble.{size}" for size in sizes)])
        store, source = Store.open(str(tmp_path / "atlas")), open_source(config.dataset)
        preprocessing = Preprocessing(replace(config.model.input, height=56, width=56, resize=64))
        images = ExampleImages(store, source, preprocessing, config.assemble)
        of_rows, files = images.of_rows(LAYER, rows, examples=examples)
        assert sorted(store.list("site/examples")) == sorted(file.path for file in files)
        assert all(store.sha256(file.path) == file.sha256 for file in files)
        columns = [of_rows[n][at].columns() | {"at": at} for n, row in enumerate(rows) for at in row]
        return columns, [file.path for file in files], store

    return make


def whole(number: int) -> Location:
    return f"{number:02d}.png", -1, -1


def part(number: int, row: int = 3, column: int = 5) -> Location:
    return f"{number:02d}.png", row, column


def check(columns: list[dict[str, Any]], store: Store) -> None:
    """Compare the colours of each crop, and of what a position sees in the whole image, with those of its place."""
    files = ExampleFiles(store)
    for example in columns:
        crop, box = np.asarray(files.crop(example), float), example["box"]
        number = int(example["at"][0][:2])
        middle = crop[crop.shape[0] // 2 - 2 : crop.shape[0] // 2 + 2, crop.shape[1] // 2 - 2 : crop.shape[1] // 2 + 2]
        row, column = ((box[first] + box[last]) / 2 for first, last in (("top", "bottom"), ("left", "right")))
        expected = (row * 250 / HEIGHT, column * 250 / WIDTH, 20 * number)
        assert middle.mean((0, 1)) == pytest.approx(expected, abs=9), example
        image = files.whole(example)
        if image is not None:
            seen = example["seen"]
            edges = (round(seen[edge]) for edge in ("left", "top", "right", "bottom"))
            assert np.asarray(image.crop(tuple(edges)), float).mean((0, 1)) == pytest.approx(expected, abs=9), example


def test_in_a_small_dataset_each_image_is_stored_once_and_crops_are_parts_of_it(stored: Make) -> None:
    rows = [[whole(number % 12), part((number + 1) % 12)] for number in range(20)]
    columns, files, store = stored(rows, examples=12)
    check(columns, store)
    wholes = {example["image"] for example in columns}
    assert len(wholes) == 12
    assert {example["crop"]["file"] for example in columns if example["at"][1] == -1} <= wholes
    # What 8 px of the input are in the file of 100 px is too little to show: these are cut from the original.
    assert len(files) == 12 + 3, "a sheet for every eight rows"
    with Image.open(io.BytesIO(store.read(sorted(wholes)[0]))) as image:
        assert image.size == (100, 75)
    assert sorted(wholes)[0].endswith("-100x75.webp")


def test_of_a_large_dataset_only_images_that_many_rows_show_are_stored_whole(stored: Make) -> None:
    rows = [[whole(0), whole(1 + number)] for number in range(SHOWN_OFTEN)]
    columns, files, store = stored(rows, examples=12, whole_images=11)
    check(columns, store)
    assert {example["image"] for example in columns if example["at"][0] == "00.png"} != {None}
    assert {example["image"] for example in columns if example["at"][0] != "00.png"} == {None}
    assert len(files) == 2, "one whole image and one sheet"


def test_a_group_of_rows_needs_no_sheet_of_another(stored: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("network_atlas.assemble.example_images.ROWS_AT_ONCE", 16)
    rows = [[part(0), part(1 + number % 3, row=2 + number % 4)] for number in range(20)]
    columns, files, store = stored(rows, examples=12, whole_images=0)
    check(columns, store)
    sheets = [{columns[2 * n + k]["crop"]["file"] for k in range(2)} for n in range(20)]
    assert [len(set.union(*sheets[start : start + 8])) for start in (0, 8, 16)] == [1, 1, 1]
    assert len(files) == 3 + len({example["image"] for example in columns if example["image"]})
