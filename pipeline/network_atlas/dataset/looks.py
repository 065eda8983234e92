"""A hash of what an image looks like: near-copies have hashes that differ in few bits.

The difference hash (Krawetz 2013, "Kind of like that"): the image in grey, reduced to 8 rows of 9 values; each bit says
whether a value is larger than its left neighbour. Another size, format or compression changes few of its 64 bits; two
different photos differ in 32 on average.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

ROWS, COLUMNS = 8, 9


def looks(image: Image.Image) -> int:
    """Return the 64 bits of an image's difference hash."""
    small = image.convert("L").resize((COLUMNS, ROWS), Image.Resampling.BOX)
    values = np.asarray(small, np.int16)
    return int.from_bytes(np.packbits(values[:, 1:] > values[:, :-1]).tobytes(), "big")
