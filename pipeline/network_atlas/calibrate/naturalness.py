"""How natural a picture looks to a denoiser, compared with the dataset's images.

Noise of a fixed level is added to an image, always the same draw, and taken off again by the denoiser. What is left of
it is the image's residual: the root mean square difference from the image itself. It is large where the denoiser meets
what it does not know from photographs, such as fine unordered detail, and small where there is nothing to see. It is
the part of the image's negative log density that lies at this level of noise (Kong et al. 2023, eq. 7).

A picture's naturalness is the percentage of the dataset's images whose residual is at least as large. They are compared
at the picture's own size, or at that of the model's input where this is smaller.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor

from network_atlas.models.memory import FittingBatch
from network_atlas.pictures.transforms import resize
from network_atlas.priors.denoiser import Denoiser

LEVEL = 25 / 255
"""Standard deviation of the noise, on 0..1."""
SEED = 0

Pixels = UInt8[NDArray[np.uint8], "height width channels"]


class Naturalness:
    """Compares pictures with images of the dataset, by one denoiser."""

    def __init__(self, denoiser: Denoiser, images: Sequence[Pixels], fitting: FittingBatch) -> None:
        self._denoiser, self._images, self._fitting = denoiser, images, fitting
        self._residuals: dict[tuple[int, int], NDArray[np.float64]] = {}
        """Those of the images, sorted, by height and width."""

    @torch.inference_mode()
    def of(self, pictures: Float[Tensor, "batch channels height width"]) -> list[float]:
        """Return each picture's naturalness: 0 is noisier than every image, 100 smoother; photographs lie between."""
        height, width = (min(pair) for pair in zip(pictures.shape[2:], self._images[0].shape[:2], strict=True))
        if (height, width) not in self._residuals:
            self._residuals[height, width] = np.sort(self._of_images(height, width))
        natural = self._residuals[height, width]

        def of_part(part: slice) -> list[float]:
            return residuals(self._denoiser, resize(pictures[part], height=height, width=width))

        below = np.searchsorted(natural, self._fitting.over(of_part, len(pictures)), side="left")
        shares: list[float] = (100 * (len(natural) - below) / len(natural)).tolist()
        return shares

    def _of_images(self, height: int, width: int) -> NDArray[np.float64]:
        def of_part(part: slice) -> list[float]:
            pixels = torch.from_numpy(np.stack(self._images[part])).to(self._denoiser.gives_noise.device)
            images = resize(pixels.permute(0, 3, 1, 2).float() / 255, height=height, width=width)
            return residuals(self._denoiser, images)

        return np.array(self._fitting.over(of_part, len(self._images)))


def residuals(denoiser: Denoiser, images: Float[Tensor, "batch channels height width"]) -> list[float]:
    """Return what is left of the noise in each image on 0..1 after denoising: its root mean square."""
    noise = torch.randn(images.shape[1:], generator=torch.Generator().manual_seed(SEED)).to(images.device)
    levels = torch.full((len(images),), LEVEL, device=images.device)
    clean = denoiser.in_fixed_batches(images + LEVEL * noise, levels)
    # One by one, so that the sum's order does not depend on the batch.
    return [float((one - image).square().mean().sqrt()) for one, image in zip(clean, images, strict=True)]
