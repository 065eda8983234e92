"""The gradient of the log density of images, as a denoiser knows it.

For images with Gaussian noise of standard deviation s, the clean image that is best on average is

    D(y, s) = y + s² ∇ log p_s(y)         (Miyasawa 1961; Robbins; see Kadkhodaie, Simoncelli 2021, eq. 4)

where p_s is the density of noisy images. So the gradient follows from the denoiser alone, without its derivative.
"""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

Denoise = Callable[[Float[Tensor, "batch channels height width"], Float[Tensor, " batch"]], Tensor]


def log_density_gradient(
    denoise: Denoise, noisy: Float[Tensor, "batch channels height width"], levels: Float[Tensor, " batch"]
) -> Float[Tensor, "batch channels height width"]:
    """Return the gradient of the log density of noisy images, `levels` being the noise's standard deviations."""
    scale = levels.float().view(-1, 1, 1, 1)
    return (denoise(noisy, levels).float() - noisy.float()) / scale.square()


def pull(
    denoise: Denoise,
    images: Float[Tensor, "batch channels height width"],
    noise: Float[Tensor, "batch channels height width"],
    levels: Float[Tensor, " batch"],
) -> Float[Tensor, "batch channels height width"]:
    """Return an estimate of the gradient of the images' log density, smoothed by the levels, from one draw of noise.

    Where the draw itself would enter as -noise / level, whose mean is zero, it is left out: of the estimate's variance
    on photographs that is nine tenths and more.
    """
    scale = levels.float().view(-1, 1, 1, 1)
    noisy = images.float() + scale * noise
    return log_density_gradient(denoise, noisy, levels) + noise / scale
