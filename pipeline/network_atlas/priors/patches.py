"""Fit a mixture of Gaussians to the patches of images, without their mean (EPLL; Zoran, Weiss 2011).

A patch is a vector of 8 x 8 pixels of all channels. Each channel's mean over the patch is taken off. What the patches
of the dataset vary most in, at most `DIMENSIONS` directions, goes into the mixture; the rest has one small variance.

    state = fit_mixture(sample_patches(images, 30_000, seed=0), settings)
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float32
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits
from torch import Tensor

from network_atlas.errors import DatasetError
from network_atlas.priors.fitting import Fitted, Fitting, Pixels, read_images

SIDE_PX = 8
"""As Zoran and Weiss have it."""
DIMENSIONS = 64
"""Directions of the mixture. Grey patches have 63; of the 189 of colour patches these hold nearly all variance."""

Patches = Float32[NDArray[np.float32], "patches values"]


def fit_patches(fitting: Fitting) -> Fitted:
    """Return a mixture of the patches of the dataset's images, and the mean surprise of a value of a patch in nats."""
    training = fitting.config.priors.patches
    images = read_images(fitting.config, fitting.example_ids, side_px=training.side_px)
    state, report = fit_mixture(
        sample_patches(images, training.patches, seed=training.seed),
        components=training.components,
        iterations=training.iterations,
        noise=training.noise,
        seed=training.seed,
    )
    return Fitted(state=state, images=len(images), report=report)


def sample_patches(images: Sequence[Pixels], count: int, *, seed: int) -> Patches:
    """Return patches at random places of images, on 0..1, each without its channels' means; equally many of each.

    Values are in the order (channel, row, column). Images smaller than a patch are left out.
    Raises DatasetError where none is left.
    """
    large = [image for image in images if min(image.shape[:2]) >= SIDE_PX]
    if not large:
        raise DatasetError(
            f"all images are smaller than a patch of {SIDE_PX} x {SIDE_PX} pixels, so that the penalty 'patches' has "
            "nothing to learn from; give larger images, or leave it out of the regularizers"
        )
    generator = np.random.default_rng(seed)
    patches = []
    for number, image in enumerate(large):
        share = count * (number + 1) // len(large) - count * number // len(large)
        rows = generator.integers(0, image.shape[0] - SIDE_PX + 1, share)
        columns = generator.integers(0, image.shape[1] - SIDE_PX + 1, share)
        patches += [image[r : r + SIDE_PX, c : c + SIDE_PX] for r, c in zip(rows, columns, strict=True)]
    values = np.stack(patches).transpose(0, 3, 1, 2).astype(np.float32) / 255
    centred: Patches = (values - values.mean(axis=(2, 3), keepdims=True)).reshape(len(values), -1)
    return centred


def fit_mixture(
    patches: Patches, *, components: int, iterations: int, noise: float, seed: int
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Return the mixture as tensors, as `pictures.patches.PatchMixture` takes them, and how well it fits.

    `noise` is the standard deviation that every direction has at least: without it, components of flat patches would
    forbid what 8 bits and JPEG add to them. One thread: with more, sums round in another order.
    """
    with threadpool_limits(limits=1):
        basis, rest = _directions(patches)
        inside = patches @ basis
        mixture = GaussianMixture(
            components,
            reg_covar=noise**2,
            max_iter=iterations,
            init_params="k-means++",
            random_state=seed,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # `iterations` says how long it takes
            mixture.fit(inside)
        likelihood = float(mixture.score(inside))
    rest_variance = rest + noise**2
    outside = patches.shape[1] - basis.shape[1]
    surprise = -likelihood + 0.5 * outside * (np.log(2 * np.pi * rest_variance) + rest / rest_variance)
    state = {
        "basis": torch.from_numpy(np.ascontiguousarray(basis, dtype=np.float32)),
        "rest_variance": torch.tensor(rest_variance, dtype=torch.float32),
        "log_weights": torch.from_numpy(np.log(mixture.weights_).astype(np.float32)),
        "means": torch.from_numpy(mixture.means_.astype(np.float32)),
        "whitening": torch.from_numpy(mixture.precisions_cholesky_.astype(np.float32)),
        "surprise": torch.tensor(surprise / patches.shape[1], dtype=torch.float32),
    }
    return state, {"surprise": float(state["surprise"]), "iterations": float(mixture.n_iter_)}


def _directions(patches: Patches) -> tuple[Float32[NDArray[np.float32], "values directions"], float]:
    """Return the directions in which patches vary most, as columns, and the mean variance in all others."""
    covariance = (patches.T @ patches).astype(np.float64) / len(patches)
    variances, vectors = np.linalg.eigh(covariance)
    channels = patches.shape[1] // SIDE_PX**2
    kept = min(DIMENSIONS, patches.shape[1] - channels)  # without their means, patches of c channels have c fewer
    outside = variances[:-kept]
    return vectors[:, ::-1][:, :kept].astype(np.float32), float(np.clip(outside, 0, None).mean())
