"""A finished picture, and what became of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

GREY_LEVELS = 8
"""A picture none of whose colour channels varies by more than this over its pixels is of one colour."""
SATURATED_SHARE = 0.5
"""A picture with more of its values than this at an end of the range is saturated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedPicture:
    """A picture as it leaves the loop."""

    pixels: UInt8[NDArray[np.uint8], "height width channels"]
    opacity: UInt8[NDArray[np.uint8], "height width"] | None
    """The importance of each pixel, where the recipe keeps it."""
    steps: int
    curve: list[dict[str, float]]
    """Points of its score over the steps, as `slots.thinned` makes them."""
    status: str
    """'ok'; 'dead' when no step had a gradient, 'diverged' when a gradient was not finite."""
    attempt: int = 1
    """2 where the first attempt was dead or diverged, and the second was not."""


def status_of(picture: FinishedPicture, score: float) -> str:
    """Return what became of a picture of this measured score: 'dead', 'diverged', 'grey', 'saturated' or 'ok'."""
    if picture.status != "ok":
        return picture.status
    if not math.isfinite(score):
        return "diverged"
    if int(np.ptp(picture.pixels, axis=(0, 1)).max()) <= GREY_LEVELS:
        return "grey"
    return "saturated" if saturated_share(picture.pixels) > SATURATED_SHARE else "ok"


def saturated_share(pixels: UInt8[NDArray[np.uint8], "height width channels"]) -> float:
    """Return the share of values at either end of the range, or one level from it."""
    return float(((pixels <= 1) | (pixels >= 254)).mean())
