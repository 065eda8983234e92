from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import functional

from network_atlas.config.schema import InputConfig
from network_atlas.dataset import Preprocessing
from network_atlas.dataset.preprocessing import RESAMPLING
from network_atlas.errors import ConfigError

MakeInput = Callable[..., InputConfig]


def noise(height: int, width: int) -> Image.Image:
    """Return noise of half contrast: Pillow clips between its two passes, in an order that depends on the sizes."""
    return Image.fromarray(np.random.default_rng(0).integers(64, 192, (height, width, 3), dtype=np.uint8))


def in_two_steps(image: Image.Image, config: InputConfig) -> np.ndarray:
    """Return what torchvision's Resize and CenterCrop make of `image`."""
    modes = {method.name.lower(): functional.InterpolationMode(method.name.lower()) for method in RESAMPLING.values()}
    resized = functional.resize(image, [config.resize], interpolation=modes[config.interpolation])
    return np.asarray(functional.center_crop(resized, [config.height, config.width]))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos", "nearest"])
@pytest.mark.parametrize("size", [(90, 90), (51, 87), (133, 60), (20, 33), (28, 28), (32, 41), (61, 1000)])
@pytest.mark.parametrize("crop", [(28, 28), (32, 32), (17, 30), (30, 17)])
def test_one_step_equals_torchvisions_two(
    interpolation: str, size: tuple[int, int], crop: tuple[int, int], input_config: MakeInput
) -> None:
    config = input_config(height=crop[0], width=crop[1], interpolation=interpolation)
    image = noise(*size)
    difference = np.abs(Preprocessing(config).apply(image).astype(int) - in_two_steps(image, config).astype(int))
    if interpolation == "nearest":  # where a pixel's centre falls on an edge, rounding picks one side
        assert (difference > 0).mean() < 0.06
    else:
        assert difference.max() <= 2


def test_rows_come_before_columns(input_config: MakeInput) -> None:
    pixels = Preprocessing(input_config(height=20, width=30, resize=30)).apply(noise(40, 80))
    assert pixels.shape == (20, 30, 3)
    assert pixels.dtype == np.uint8
    bands = np.repeat(np.arange(40, dtype=np.uint8)[:, None] * 6, 80, axis=1)
    rows = Preprocessing(input_config(height=20, width=30, resize=30, channels=1)).apply(Image.fromarray(bands))
    assert (np.diff(rows[:, 0, 0].astype(int)) > 0).all()
    assert np.ptp(rows, axis=1).max() == 0


@pytest.mark.parametrize("size", [(100, 40), (40, 100), (7, 7), (33, 32)])
def test_a_crop_longer_than_the_resized_image_is_covered_without_borders(
    size: tuple[int, int], input_config: MakeInput
) -> None:
    white = Image.new("RGB", size[::-1], "white")
    for height, width in ((28, 64), (64, 28)):
        preprocessing = Preprocessing(input_config(height=height, width=width, resize=30))
        assert preprocessing.apply(white).min() == 255
        top, left, bottom, right = preprocessing.source_box(size, (0, 0, height, width))
        assert (bottom - top) / (right - left) == pytest.approx(height / width, rel=0.08)


@pytest.mark.parametrize("size", [(1, 1), (1, 50_000), (50_000, 1), (3, 90_000)])
@pytest.mark.parametrize("interpolation", ["nearest", "bicubic"])
def test_thin_images_work_and_stay_small(size: tuple[int, int], interpolation: str, input_config: MakeInput) -> None:
    image = Image.new("RGB", size[::-1], (10, 20, 30))
    tracemalloc.start()
    pixels = Preprocessing(input_config(interpolation=interpolation)).apply(image)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (pixels == (10, 20, 30)).all()
    assert peak < 4_000_000


def test_one_channel_is_luminance(input_config: MakeInput) -> None:
    red = Preprocessing(input_config(channels=1)).apply(Image.new("RGB", (50, 40), (255, 0, 0)))
    assert red.shape == (28, 28, 1)
    assert (red == 76).all()  # 0.299 of 255 (ITU-R 601-2)


def test_other_modes_are_converted(input_config: MakeInput) -> None:
    assert Preprocessing(input_config()).apply(Image.new("L", (50, 40), 9)).shape == (28, 28, 3)


@pytest.mark.parametrize("channels", [2, 4, 7])
def test_inputs_that_no_image_can_fill_are_refused(channels: int, input_config: MakeInput) -> None:
    with pytest.raises(ConfigError, match=rf"model\.input\.channels={channels}.*set it to 3 or 1"):
        Preprocessing(input_config(channels=channels)).apply(noise(30, 30))


def test_the_image_is_not_changed(input_config: MakeInput) -> None:
    image = noise(50, 60)
    Preprocessing(input_config(channels=1)).apply(image)
    assert np.array_equal(np.asarray(image), np.asarray(noise(50, 60)))


@pytest.mark.parametrize("size", [(64, 64), (64, 100), (130, 64)])
def test_source_box_leads_back_to_where_a_pixel_came_from(size: tuple[int, int], input_config: MakeInput) -> None:
    preprocessing = Preprocessing(input_config(interpolation="bilinear"))
    region = (6, 11, 10, 14)
    top, left, bottom, right = preprocessing.source_box(size, region)
    pixels = np.zeros((*size, 3), np.uint8)
    pixels[round(top) : round(bottom), round(left) : round(right)] = 255
    seen = preprocessing.apply(Image.fromarray(pixels))[:, :, 0] > 127
    assert np.argwhere(seen).min(axis=0).tolist() == [6, 11]
    assert (np.argwhere(seen).max(axis=0) + 1).tolist() == [10, 14]


def test_source_box_of_the_whole_input_is_the_central_crop(input_config: MakeInput) -> None:
    preprocessing = Preprocessing(input_config())
    assert preprocessing.source_box((64, 64), (0, 0, 28, 28)) == (4, 4, 60, 60)
    assert preprocessing.source_box((64, 128), (0, 0, 28, 28)) == (4, 36, 60, 92)


@pytest.mark.parametrize("size", [(2000, 2600), (1000, 260), (257, 3000)])
def test_reduced_decoding_leaves_at_least_twice_the_input(size: tuple[int, int], input_config: MakeInput) -> None:
    for changes in ({}, {"height": 60, "width": 28, "resize": 32}):
        preprocessing = Preprocessing(input_config(**changes))
        top, left, bottom, right = preprocessing.source_box(size, (0, 0, changes.get("height", 28), 28))
        reduced = preprocessing.side_min_px / min(size)
        assert (bottom - top) * reduced >= 2 * changes.get("height", 28) - 1e-6
        assert (right - left) * reduced >= 2 * 28 - 1e-6
