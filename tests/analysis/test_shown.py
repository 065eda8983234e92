"""Pictures as they are shown: channels that are no colours in a grid with numbers, what mattered little in grey."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from network_atlas.analysis.shown import GAP_PX, GROUND, shown, shown_size
from network_atlas.store.png import decode_png, encode_png, side_by_side

HEIGHT, WIDTH = 40, 56


def stored(pixels: NDArray[np.uint8], opacity: NDArray[np.uint8] | None = None) -> dict[str, Any]:
    mask = None if opacity is None else {"bytes": encode_png(opacity), "path": None}
    return {"image": {"bytes": encode_png(pixels), "path": None}, "opacity": mask}


def random_pixels(channels: int) -> NDArray[np.uint8]:
    return np.random.default_rng(channels).integers(0, 256, (HEIGHT, WIDTH, channels), dtype=np.uint8)


def opened(data: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_and_colours_are_shown_as_they_are_stored(channels: int) -> None:
    picture = stored(random_pixels(channels))
    assert side_by_side(picture["image"]["bytes"]) == 1
    assert shown(picture) == picture["image"]["bytes"]
    assert shown_size(picture) == (WIDTH, HEIGHT)


@pytest.mark.parametrize(("channels", "columns", "lines"), [(2, 2, 1), (4, 2, 2), (5, 3, 2), (12, 4, 3)])
def test_other_channels_stand_in_a_grid_each_above_its_number(channels: int, columns: int, lines: int) -> None:
    pixels = random_pixels(channels)
    picture = stored(pixels)
    assert side_by_side(picture["image"]["bytes"]) == channels
    assert np.array_equal(decode_png(picture["image"]["bytes"], channels=channels), pixels)
    grid = opened(shown(picture))
    assert (grid.shape[1], grid.shape[0]) == shown_size(picture)
    assert grid.shape[1] == columns * (WIDTH + GAP_PX) - GAP_PX
    step = grid.shape[0] // lines
    numbers = set()
    for channel in range(channels):
        line, column = divmod(channel, columns)
        cell = grid[line * step :, column * (WIDTH + GAP_PX) :][:step, :WIDTH]
        assert np.array_equal(cell[:HEIGHT], np.repeat(pixels[..., channel, None], 3, axis=2))
        assert (cell[HEIGHT:] != GROUND).any()
        numbers.add(cell[HEIGHT:].tobytes())
    assert len(numbers) == channels


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_what_mattered_little_is_grey_in_every_channel(channels: int) -> None:
    opacity = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    opacity[:, : WIDTH // 2] = 255
    pixels = random_pixels(channels)
    data = shown(stored(pixels, opacity))
    first = opened(data)[:HEIGHT, :WIDTH]
    expected = pixels if channels == 3 else np.repeat(pixels[..., :1], 3, axis=2)
    assert np.array_equal(first[:, : WIDTH // 2], expected[:, : WIDTH // 2])
    assert (first[:, WIDTH // 2 :] == 128).all()
    if channels == 4:
        assert (opened(data)[:HEIGHT, WIDTH + GAP_PX + WIDTH // 2 :] == 128).all()
