"""How natural a picture is: between noise, which no denoiser knows, and nothing at all."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from network_atlas.calibrate.naturalness import Naturalness, residuals
from network_atlas.models.memory import FittingBatch
from network_atlas.priors.denoiser import Denoiser


class Blurring(Denoiser):
    """Takes each pixel for the mean of its neighbours: knows smooth images only."""

    def __init__(self) -> None:
        super().__init__(3, 8, 3, gives_noise=True)

    def forward(self, images: Tensor, levels: Tensor) -> Tensor:
        return F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1)


def some_images(count: int) -> list[np.ndarray]:
    """Return images of a few large squares, with more and more noise."""
    generator = np.random.default_rng(0)
    coarse = generator.integers(60, 200, (count, 4, 4, 3)).repeat(8, axis=1).repeat(8, axis=2)
    noise = generator.standard_normal(coarse.shape) * np.linspace(0, 30, count)[:, None, None, None]
    return list((coarse + noise).clip(0, 255).astype(np.uint8))


def test_noise_is_below_and_a_blank_above_all_images() -> None:
    natural = Naturalness(Blurring(), some_images(20), FittingBatch(8))
    noise = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert natural.of(torch.stack([noise, torch.full((3, 32, 32), 0.5)])) == [0, 100]


def test_the_images_themselves_lie_evenly_between() -> None:
    images = some_images(20)
    natural = Naturalness(Blurring(), images, FittingBatch(8))
    shown = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
    assert sorted(natural.of(shown)) == [5.0 * number for number in range(1, 21)]


def test_images_are_compared_at_the_size_of_the_picture() -> None:
    natural = Naturalness(Blurring(), some_images(20), FittingBatch(8))
    small, large = torch.rand(1, 3, 16, 24), torch.rand(1, 3, 64, 64)
    assert {*natural.of(small), *natural.of(large)} <= set(np.arange(0, 101, 5.0))
    assert set(natural._residuals) == {(16, 24), (32, 32)}


def test_a_residual_does_not_depend_on_the_batch() -> None:
    images = torch.rand(5, 3, 9, 8)
    assert residuals(Blurring(), images) == [residuals(Blurring(), image[None])[0] for image in images]
