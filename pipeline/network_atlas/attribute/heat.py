"""Draw numbers over an image as small pictures: 32 x 32 values of 8 bits, over the part of the image that a crop shows.

box = crop_box(seen_box(layer, row, column, input), input)
heat_map(attribution.pixels, box)                # 0: changes nothing, 255: changes most
own_map(attribution.map, layer, box, input)      # 0: the map's smallest value, 255: its largest
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, UInt8
from numpy.typing import NDArray

from network_atlas.config.schema import InputConfig
from network_atlas.dataset.preprocessing import Box
from network_atlas.layers import LayerSpec

SIDE = 32
"""Values along a side of a map."""
SMOOTHED = 0.025
"""Standard deviation of the smoothing, in longer sides of the input. Single pixels' gradients are mostly noise."""
Matrix = Float64[NDArray[np.float64], "sampled values"]
Small = UInt8[NDArray[np.uint8], "32 32"]


def smoothed(pixels: NDArray[np.floating], box: Box) -> Float64[NDArray[np.float64], "32 32"]:
    """Return pixels, (height, width), under a Gaussian, at 32 x 32 points spread over the box."""
    top, left, bottom, right = box
    deviation = SMOOTHED * max(pixels.shape)
    down, across = (
        _gaussian(start, stop, length, deviation)
        for start, stop, length in ((top, bottom, pixels.shape[0]), (left, right, pixels.shape[1]))
    )
    sampled: NDArray[np.float64] = down @ pixels.astype(np.float64) @ across.T
    return sampled


def heat_map(pixels: NDArray[np.floating], box: Box) -> Small:
    """Return the size of gradient times input, (height, width), smoothed, as 8 bits: the largest in the box is 255.

    The size and not the signed value: among neighbours signs change from pixel to pixel, and their mean says less of
    where the channel looks (pipeline/DECISIONS.md has numbers).
    """
    values = smoothed(np.abs(pixels), box) if np.isfinite(pixels).all() else np.zeros((SIDE, SIDE))
    largest = float(values.max())
    drawn: Small = np.rint(255 * values / largest if largest > 0 else values).astype(np.uint8)
    return drawn


def own_map(values: NDArray[np.floating], layer: LayerSpec, box: Box, config: InputConfig) -> Small | None:
    """Return a channel's map, (rows, columns), in the box, from its smallest value anywhere to its largest.

    None where a position is no place in the image: of tokens and vectors.
    """
    if layer.height is None or values.size < 2:
        return None
    top, left, bottom, right = box
    down, across = (
        _linear(start, stop, length, *_grid(layer, axis, length, side))
        for axis, (start, stop, length, side) in enumerate(
            ((top, bottom, values.shape[0], config.height), (left, right, values.shape[1], config.width))
        )
    )
    low, high = float(values.min()), float(values.max())
    if not np.isfinite(values).all() or high <= low:
        return np.zeros((SIDE, SIDE), np.uint8)
    scaled = (down @ values.astype(np.float64) @ across.T - low) / (high - low)
    drawn: Small = np.rint(255 * scaled.clip(0, 1)).astype(np.uint8)
    return drawn


def _points(start: float, stop: float) -> NDArray[np.float64]:
    points: NDArray[np.float64] = start + (np.arange(SIDE) + 0.5) * (stop - start) / SIDE
    return points


def _gaussian(start: float, stop: float, length: int, deviation: float) -> Matrix:
    """Return the weights of `length` pixels at points of an interval; pixel k covers k to k + 1."""
    distance = _points(start, stop)[:, None] - (np.arange(length) + 0.5)
    weights = np.exp(-0.5 * np.square(distance / deviation))
    shares: Matrix = weights / weights.sum(axis=1, keepdims=True)
    return shares


def _grid(layer: LayerSpec, axis: int, length: int, side_px: int) -> tuple[float, float]:
    """Return where the first position of an axis lies in the input, and the step to the next, in pixels."""
    field = layer.receptive_field
    if field is not None:
        return field.centre_px[axis], field.stride_px[axis]
    return 0.5 / length * side_px, side_px / length


def _linear(start: float, stop: float, length: int, first: float, step: float) -> Matrix:
    """Return the weights of linear interpolation between `length` positions at points of an interval."""
    at = ((_points(start, stop) - first) / step).clip(0, length - 1)
    weights: Matrix = np.maximum(0.0, 1 - np.abs(at[:, None] - np.arange(length)))
    return weights
