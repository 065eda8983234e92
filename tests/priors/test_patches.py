"""The mixture of Gaussians on patches: how it is fitted, and the penalty that it gives pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from network_atlas.config.compose import compose
from network_atlas.errors import ConfigError
from network_atlas.pictures.patches import SIDE_PX, PatchMixture, grid_of
from network_atlas.priors.patches import fit_mixture, sample_patches

CPU = torch.device("cpu")


def photograph(seed: int, *, channels: int = 3, height: int = 40, width: int = 52) -> NDArray[np.uint8]:
    """Return an image of soft forms and edges, (height, width, channels)."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width] / 20
    phase, slope = generator.uniform(0, 6, 2), generator.uniform(-2, 2, 2)
    soft = np.sin(rows * slope[0] + phase[0]) + np.cos(columns * slope[1] + phase[1])
    edge = np.where(rows * slope[1] > columns * slope[0], 0.8, -0.8)
    grey = 128 + 40 * (soft + edge)
    planes = np.stack([grey * (1 - 0.1 * channel) for channel in range(channels)], axis=2)
    return (planes + generator.normal(0, 2, planes.shape)).clip(0, 255).astype(np.uint8)


def mixture(channels: int = 3) -> PatchMixture:
    patches = sample_patches([photograph(seed, channels=channels) for seed in range(20)], 3000, seed=0)
    state, _ = fit_mixture(patches, components=6, iterations=10, noise=0.02, seed=0)
    return PatchMixture.of(state, CPU)


@pytest.fixture(scope="module")
def colour() -> PatchMixture:
    return mixture()


def as_image(pixels: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255


def noisy(image: torch.Tensor, std: float) -> torch.Tensor:
    return image + std * torch.randn(image.shape, generator=torch.Generator().manual_seed(3))


def test_patches_are_drawn_evenly_and_without_their_means() -> None:
    images = [np.full((9, 30, 3), number, np.uint8) for number in (10, 200)] + [
        photograph(0),
        np.zeros((4, 4, 3), np.uint8),
    ]
    patches = sample_patches(images, 31, seed=0)
    assert patches.shape == (31, 3 * SIDE_PX**2)
    assert np.abs(patches.reshape(31, 3, -1).mean(axis=2)).max() < 1e-6
    assert np.array_equal(patches, sample_patches(images, 31, seed=0))
    assert (np.abs(patches).max(axis=1) > 1e-3).sum() == 11  # of the third image; the last is too small


def test_more_components_than_patches_are_refused_with_what_fits() -> None:
    with pytest.raises(ConfigError, match=r"components=200 of patches=100: .* give at most components=50"):
        compose(["priors.patches.patches=100"])


def test_the_penalty_is_the_negative_log_density_of_the_likeliest_component(colour: PatchMixture) -> None:
    image = as_image(photograph(99))
    patches = grid_of(image, 3).double().numpy()
    basis = colour.basis.double().numpy()
    outside = np.eye(len(basis)) - basis @ basis.T
    densities = []
    for component in range(len(colour.log_weights)):
        factor = np.linalg.inv(colour.whitening[component].double().numpy())
        covariance = basis @ factor.T @ factor @ basis.T + float(colour.rest_variance) * outside
        away = patches - basis @ colour.means[component].double().numpy()
        distance = np.einsum("nd,nd->n", away, np.linalg.solve(covariance, away.T).T)
        size = np.linalg.slogdet(2 * np.pi * covariance)[1]
        densities.append(float(colour.log_weights[component]) - (distance + size) / 2)
    expected = -np.max(densities, axis=0).mean() / len(basis) - float(colour.surprise)
    assert colour.penalty(image, step=3).item() == pytest.approx(expected, rel=1e-3)


def test_images_of_the_dataset_cost_about_nothing_and_noise_does(colour: PatchMixture) -> None:
    photos = [as_image(photograph(seed)) for seed in range(30, 40)]
    natural = torch.stack([colour.penalty(photo, step=0) for photo in photos])
    assert natural.mean().abs() < 0.3
    assert (torch.stack([colour.penalty(noisy(photo, 0.1), step=0) for photo in photos]) > natural + 3).all()


def test_following_the_gradient_takes_noise_away(colour: PatchMixture) -> None:
    photo = as_image(photograph(50))
    image = noisy(photo, 0.05)
    before = (image - photo).square().mean()
    for step in range(64):
        image.requires_grad_()
        (gradient,) = torch.autograd.grad(colour.penalty(image, step=step), image)
        image = (image - 0.02**2 * image.numel() * 0.2 * gradient).detach()
    assert (image - photo).square().mean() < 0.5 * before


def test_the_gradient_equals_numerical_differentiation(colour: PatchMixture) -> None:
    double = PatchMixture(**{name: getattr(colour, name).double() for name in colour.__dataclass_fields__})
    image = as_image(photograph(7, height=17, width=19)).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda image: double.penalty(image, step=5), (image,), atol=1e-4)


def test_the_grid_comes_to_every_place_in_64_steps() -> None:
    rows, columns = torch.meshgrid(torch.arange(33.0), torch.arange(33.0) * 100, indexing="ij")
    image = (rows + columns)[None]
    corners = set()
    for step in range(64):
        top, left = step * 5 % 8, step // 8 * 3 % 8
        patch = image[:, top : top + 8, left : left + 8]
        assert torch.allclose(grid_of(image, step)[0], (patch - patch.mean()).flatten())
        corners.add((top, left))
    assert len(corners) == 64


@pytest.mark.parametrize("size", [(8, 8), (9, 31), (15, 21)])
@pytest.mark.parametrize("channels", [1, 3, 7])
def test_every_size_and_number_of_channels(channels: int, size: tuple[int, int]) -> None:
    fitted = mixture(channels)
    assert fitted.channels == channels
    image = as_image(photograph(1, channels=channels, height=size[0], width=size[1]))
    for step in range(12):
        assert fitted.penalty(image, step=step).isfinite()


def test_the_same_patches_give_the_same_mixture() -> None:
    patches = sample_patches([photograph(0)], 400, seed=0)
    first, report = fit_mixture(patches, components=4, iterations=3, noise=0.02, seed=0)
    second, _ = fit_mixture(patches, components=4, iterations=3, noise=0.02, seed=0)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert report["iterations"] == 3
