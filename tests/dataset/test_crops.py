from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from network_atlas.config.schema import InputConfig
from network_atlas.dataset import Preprocessing
from network_atlas.dataset.crops import crop as crop_box
from network_atlas.dataset.crops import original_box, seen_box
from network_atlas.layers import LayerSpec, ReceptiveField

Crop = Callable[..., Image.Image]


def layer(**changes: object) -> LayerSpec:
    """Return a layer with a 7 x 7 map."""
    settings = {"index": 0, "name": "layer", "type": "Conv2d", "channels": 1, "height": 7, "width": 7}
    return LayerSpec(**(settings | changes))


@pytest.fixture
def crop(input_config: Callable[..., InputConfig]) -> Crop:
    """Return a function that cuts the crop around (row, column) of a 7 x 7 map over a 56 x 56 input."""

    def cut(
        image: Image.Image, *, row: int = 3, column: int = 3, field: int | None = 16, **changes: int
    ) -> Image.Image:
        preprocessing = Preprocessing(input_config(**({"height": 56, "width": 56, "resize": 56} | changes)))
        box = seen_box(layer(receptive_field_px=field), row, column, preprocessing.config)
        opened = Image.open(io.BytesIO(crop_box(image, preprocessing, box, side_px=48)))
        assert opened.format == "WEBP"
        return opened

    return cut


def coordinates(height: int, width: int) -> Image.Image:
    """Return an image whose red says the row and whose green says the column, 0..250."""
    red, green = np.mgrid[0:height, 0:width]
    pixels = np.stack([red * 250 / (height - 1), green * 250 / (width - 1), np.zeros_like(red)], axis=-1)
    return Image.fromarray(pixels.round().astype(np.uint8))


def middle(image: Image.Image) -> np.ndarray:
    return np.asarray(image, dtype=float)[16:32, 16:32].mean(axis=(0, 1))


def test_a_crop_shows_its_position_rows_first(crop: Crop) -> None:
    image = coordinates(112, 112)
    red, green, _ = middle(crop(image, row=1, column=5))
    assert red == pytest.approx(250 * 1.5 / 7, abs=6)
    assert green == pytest.approx(250 * 5.5 / 7, abs=6)


def test_a_crop_at_the_edge_is_moved_inside(crop: Crop) -> None:
    corner = np.asarray(crop(coordinates(112, 112), row=0, column=6), dtype=float)
    assert corner.shape == (48, 48, 3)
    assert corner[:4, :, 0].mean() < 15
    assert corner[:, -4:, 1].mean() > 235


@pytest.mark.parametrize("field", [None, 56, 483])
def test_a_large_or_unknown_receptive_field_shows_the_whole_input(field: int | None, crop: Crop) -> None:
    shown = np.asarray(crop(coordinates(112, 224), row=0, column=0, field=field), dtype=float)
    assert shown[:2, :, 0].mean() < 12
    assert shown[-2:, :, 0].mean() > 238
    assert shown[:, 24, 1].mean() == pytest.approx(125, abs=5)  # the middle of the central crop


def test_a_tiny_receptive_field_still_shows_16_pixels(crop: Crop) -> None:
    image = coordinates(112, 112)
    assert crop(image, field=3).tobytes() == crop(image, field=16).tobytes()
    assert crop(image, field=17).tobytes() != crop(image, field=16).tobytes()


def test_a_crop_that_is_not_square_keeps_its_aspect(crop: Crop) -> None:
    assert crop(coordinates(112, 224), field=None, width=112).size == (48, 24)
    assert crop(coordinates(112, 224), field=20, width=112).size == (48, 48)
    assert crop(coordinates(112, 112), field=40, width=30).size == (36, 48)


def test_a_crop_comes_from_the_original_pixels_and_not_from_the_models_input(crop: Crop) -> None:
    stripes = np.zeros((560, 560, 3), np.uint8)
    stripes[:, ::8] = stripes[:, 1::8] = stripes[:, 2::8] = stripes[:, 3::8] = 255
    shown = np.asarray(crop(Image.fromarray(stripes), field=16).convert("L"), dtype=float)
    assert shown.std() > 50  # at the model's 56 pixels the stripes are grey


@pytest.mark.parametrize("size", [(1, 3000), (3000, 1), (1, 1), (5, 5)])
def test_thin_and_tiny_images_have_crops(size: tuple[int, int], crop: Crop) -> None:
    assert crop(Image.new("RGB", size), row=6, column=0).size == (48, 48)


def test_an_input_smaller_than_16_pixels_is_shown_whole(crop: Crop) -> None:
    assert crop(coordinates(30, 30), height=8, width=8, resize=8).size == (48, 48)


def test_grey_models_still_have_colour_crops(crop: Crop) -> None:
    assert crop(coordinates(112, 112), channels=1).mode == "RGB"


def test_a_measured_field_says_where_a_position_looks(input_config: Callable[..., InputConfig]) -> None:
    config = input_config(height=56, width=56, resize=56)
    field = ReceptiveField(size_px=(11.0, 5.0), stride_px=(8.0, 8.0), centre_px=(0.5, 3.5))
    measured = layer(receptive_field_px=11, receptive_field=field)
    assert seen_box(measured, 0, 0, config) == (-5.0, 1.0, 6.0, 6.0)
    assert seen_box(measured, 2, 3, config) == (11.0, 25.0, 22.0, 30.0)


def test_a_token_sees_its_patch_and_a_class_token_everything(input_config: Callable[..., InputConfig]) -> None:
    config = input_config(height=48, width=64, resize=48)
    tokens = {"height": None, "width": None, "receptive_field_px": 64}
    whole = (0.0, 0.0, 48.0, 64.0)
    grid = layer(tokens=12, **tokens)
    assert seen_box(grid, 0, 0, config) == (0.0, 0.0, 16.0, 16.0)
    assert seen_box(grid, 5, 0, config) == (16.0, 16.0, 32.0, 32.0)
    with_class_token = layer(tokens=13, **tokens)
    assert seen_box(with_class_token, 0, 0, config) == whole
    assert seen_box(with_class_token, 12, 0, config) == (32.0, 48.0, 48.0, 64.0)
    assert seen_box(layer(tokens=17, **tokens), 3, 0, config) == whole  # no grid


def test_a_box_is_given_in_the_images_own_pixels(input_config: Callable[..., InputConfig]) -> None:
    preprocessing = Preprocessing(input_config(height=56, width=56, resize=64))
    # An image of 128 x 256 is resized to 64 x 128, and cropped to its middle 56 x 56.
    assert original_box((128, 256), preprocessing, (0.0, 0.0, 56.0, 56.0)) == (8.0, 72.0, 120.0, 184.0)
    assert original_box((128, 256), preprocessing, (10.0, 20.0, 14.0, 24.0)) == (28.0, 112.0, 36.0, 120.0)
    assert original_box((128, 256), preprocessing, (-9.0, 50.0, 3.0, 99.0)) == (8.0, 172.0, 14.0, 184.0)
