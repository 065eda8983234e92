from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

from network_atlas.dataset.views import crop_view, view_box

FIRST_BOX = (129, 72, 289, 213)


def test_view_0_is_the_whole_image() -> None:
    assert view_box((30, 50), "a.png", view=0, seed=3) == (0, 0, 30, 50)


def test_boxes_are_the_same_for_ever() -> None:
    assert view_box((300, 451), "skimage/chelsea.png", view=1, seed=0) == FIRST_BOX
    assert view_box((300, 451), "skimage/chelsea.png", view=1, seed=1) != FIRST_BOX
    assert view_box((300, 451), "skimage/chelsea.png", view=2, seed=0) != FIRST_BOX
    assert view_box((300, 451), "skimage/coffee.png", view=1, seed=0) != FIRST_BOX


@pytest.mark.parametrize("size", [(400, 400), (300, 450), (900, 300), (200, 1600)])
def test_boxes_have_the_promised_area_and_aspect_and_reach_everywhere(size: tuple[int, int]) -> None:
    boxes = np.array([view_box(size, "a.png", view=view, seed=0) for view in range(1, 400)])
    heights, widths = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    areas = heights * widths / math.prod(size)
    assert areas.min() > 0.145
    assert areas.max() <= 1
    assert (widths / heights).min() > 0.73
    assert (widths / heights).max() < 1.37
    assert (boxes >= 0).all()
    assert boxes[:, :2].min(axis=0) == pytest.approx([0, 0], abs=2)
    assert boxes[:, 2:].max(axis=0) == pytest.approx(size, abs=2)


@pytest.mark.parametrize("size", [(1, 1), (1, 7000), (7000, 1), (2, 90)])
def test_thin_images_have_views_inside_them(size: tuple[int, int]) -> None:
    for view in range(1, 60):
        top, left, bottom, right = view_box(size, "a.png", view=view, seed=0)
        assert 0 <= top < bottom <= size[0]
        assert 0 <= left < right <= size[1]


def test_crop_view_cuts_the_box_out() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 70, 3), dtype=np.uint8)
    top, left, bottom, right = view_box((40, 70), "a.png", view=5, seed=2)
    view = crop_view(Image.fromarray(pixels), "a.png", view=5, seed=2)
    assert np.array_equal(np.asarray(view), pixels[top:bottom, left:right])
