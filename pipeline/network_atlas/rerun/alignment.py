"""How alike two networks' layers are on the same images. Pure; activations are (images, channels)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from network_atlas.stats.constant import standardized

Floats = NDArray[np.float64]
FEWEST_IMAGES = 10
"""With fewer images in both samples, layers are not compared by activations."""


def correlations(old: NDArray[np.floating], new: NDArray[np.floating]) -> Floats:
    """Return the correlation of each old channel with each new one, (old channels, new channels).

    NaN for channels that are constant but for rounding.
    """
    sides = [standardized(np.asarray(values, np.float64)) for values in (old, new)]
    between: Floats = np.clip(sides[0].T @ sides[1], -1.0, 1.0)
    return between


def linear_cka(old: NDArray[np.floating], new: NDArray[np.floating]) -> float | None:
    """Return the linear centred kernel alignment of two layers: 1 is alike but for rotation and scale, 0 unrelated.

    After Kornblith et al. (2019), with the unbiased estimator of HSIC (Song et al. 2012, equation 5): the plain one
    rises with the number of channels, up to 1 for unrelated layers wider than the number of images. So values slightly
    below zero can happen. None where a layer has no variation.
    """
    grams = [_gram(np.asarray(values, np.float64)) for values in (old, new)]
    cross, own_old, own_new = (_hsic(*pair) for pair in ((grams[0], grams[1]), (grams[0],) * 2, (grams[1],) * 2))
    if own_old <= 0 or own_new <= 0:
        return None
    return float(min(1.0, cross / np.sqrt(own_old * own_new)))


def _gram(values: Floats) -> Floats:
    """Return the products of all pairs of images, (images, images), with zeros on the diagonal."""
    centred = values - values.mean(axis=0)
    size = np.abs(centred).max(initial=0.0)
    scaled = centred / size if size > 0 else centred  # CKA does not depend on the scale; squares of it could overflow
    products: Floats = scaled @ scaled.T
    np.fill_diagonal(products, 0.0)
    return products


def _hsic(first: Floats, second: Floats) -> float:
    """Return the unbiased estimate of the Hilbert-Schmidt independence criterion from two Gram matrices."""
    count = len(first)
    alike = np.sum(first * second)
    means = first.sum() * second.sum() / ((count - 1) * (count - 2))
    rows = 2 / (count - 2) * float(first.sum(axis=0) @ second.sum(axis=0))
    return float((alike + means - rows) / (count * (count - 3)))
