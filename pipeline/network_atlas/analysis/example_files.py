"""The images of examples, which stand in files that the tables name: crops are parts of them.

files = ExampleFiles(store)
files.crop(example)           # a Pillow image; of a row of `examples`
files.whole(example)          # the whole image; None where it is not stored
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from PIL import Image

from network_atlas.store.root import Store

FILES_KEPT = 64
"""Decoded files that are remembered: 200 KB each where they are whole images, and 4 MB where they are sheets."""
QUALITY = 90
Example = Mapping[str, Any]


class ExampleFiles:
    """Reads the images of examples."""

    def __init__(self, store: Store) -> None:
        self._open = lru_cache(maxsize=FILES_KEPT)(lambda path: _decoded(store.read(path)))

    def crop(self, example: Example) -> Image.Image:
        """Return what the position of an example sees of its image."""
        crop = example["crop"]
        edges = (round(crop[edge]) for edge in ("left", "top", "right", "bottom"))
        left, top, right, bottom = edges
        return self._open(crop["file"]).crop((left, top, max(right, left + 1), max(bottom, top + 1)))

    def crop_bytes(self, example: Example) -> bytes:
        """Return the crop as WebP."""
        stream = io.BytesIO()
        self.crop(example).save(stream, format="WEBP", quality=QUALITY)
        return stream.getvalue()

    def whole(self, example: Example) -> Image.Image | None:
        """Return the whole image of an example; None where only its crop is stored."""
        return None if example["image"] is None else self._open(example["image"])


def _decoded(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data)) as image:
        return image.convert("RGB")
