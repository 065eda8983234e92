"""How alike two stored pictures look. Pure.

A plain measure: both are made small, blurred and mean-free, and compared point by point. It sees coarse shapes and
colours at their places, and textures that moved sideways count as different. New weights also start from other noise:
of channels that hardly changed (drift .001) it was .02 on average (ResNet-20, an epoch more). So a low value says
little, a high one that both look the same.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

SIDE = 32
"""Side in px of the small version."""
BLUR_PX = 1.0


def small_version(picture: Image.Image) -> NDArray[np.float32]:
    """Return a picture as it is compared, (SIDE * SIDE * colours,): length 1, or all zeros if it is of one colour."""
    reduced = picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX)
    values = np.asarray(reduced.filter(ImageFilter.GaussianBlur(BLUR_PX)), np.float32)
    centred = values - values.mean(axis=(0, 1))
    small: NDArray[np.float32] = (centred / max(1e-6, float(np.linalg.norm(centred)))).reshape(-1)
    return small


def similarity(old: NDArray[np.float32], new: NDArray[np.float32]) -> float | None:
    """Return the cosine similarity of two small versions, -1..1; None if one is of a single colour."""
    return float(np.clip(old @ new, -1.0, 1.0)) if old.any() and new.any() else None
