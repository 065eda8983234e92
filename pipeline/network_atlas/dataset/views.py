"""Views: several crops of one image, so that a few photos make many examples.

View 0 is the whole image. The box of every other view follows from (path, view, seed) alone: the SHA-256 of the
three gives its four random numbers. So it depends neither on the version of a generator nor on the order of the images.
"""

from __future__ import annotations

import hashlib
import json
import math

from PIL import Image

from network_atlas.dataset.decode import pixel_limit

AREA_MIN = 0.15
"""Smallest share of the image's area; the largest is 1."""
ASPECT_MAX = 4 / 3
"""Largest width / height; the smallest is its inverse."""


def crop_view(image: Image.Image, path: str, *, view: int, seed: int) -> Image.Image:
    """Return view number `view` of `image`, whose relative path is `path`."""
    if view == 0:
        return image
    top, left, bottom, right = view_box((image.height, image.width), path, view=view, seed=seed)
    with pixel_limit(image.height * image.width):
        return image.crop((left, top, right, bottom))


def view_box(image_size: tuple[int, int], path: str, *, view: int, seed: int) -> tuple[int, int, int, int]:
    """Return the box (top, left, bottom, right) of a view in an image of size (height, width).

    Its area is 0.15..1 of the image's and its aspect 3/4..4/3, each drawn from what fits, so nothing is drawn
    twice. In images longer than 9 : 1 no such area has such an aspect; there the aspect is kept.
    """
    height, width = image_size
    if view == 0:
        return 0, 0, height, width
    box_height, box_width, down, along = _draw_box(width / height, path, view, seed)
    rows = min(height, max(1, round(box_height * height)))
    columns = min(width, max(1, round(box_width * width)))
    top, left = int(down * (height - rows + 1)), int(along * (width - columns + 1))
    return top, left, top + rows, left + columns


def _draw_box(image_aspect: float, path: str, view: int, seed: int) -> tuple[float, float, float, float]:
    """Return a box's height and width as shares of the image's, and where it lies in the rest of the image (0..1)."""
    first, second, down, along = _uniforms(path, view, seed)
    area_max = min(1.0, ASPECT_MAX / image_aspect, ASPECT_MAX * image_aspect)
    area_min = min(AREA_MIN, area_max)
    area = area_min + (area_max - area_min) * first
    lowest = max(1 / ASPECT_MAX, area * image_aspect)
    highest = max(lowest, min(ASPECT_MAX, image_aspect / area))
    aspect = math.exp(math.log(lowest) + math.log(highest / lowest) * second)
    return math.sqrt(area * image_aspect / aspect), math.sqrt(area * aspect / image_aspect), down, along


def _uniforms(path: str, view: int, seed: int) -> list[float]:
    """Return four numbers in [0, 1), 53 bits each."""
    digest = hashlib.sha256(json.dumps([path, view, seed]).encode()).digest()
    return [(int.from_bytes(digest[start : start + 8], "big") >> 11) / 2**53 for start in range(0, 32, 8)]
