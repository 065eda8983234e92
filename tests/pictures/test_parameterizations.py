from __future__ import annotations

from functools import cache

import pytest
import torch
from tiny_generator import untrained

from network_atlas.config.compose import compose
from network_atlas.config.recipe import OptimizeConfig
from network_atlas.errors import ConfigError
from network_atlas.pictures.colours import colour_matrix, to_image
from network_atlas.pictures.parameterizations import PARAMETERIZATIONS, Parameterization, parameterization, shared
from network_atlas.pictures.parameterizations.cppn import EVEN_MEAN, EVEN_SPREAD, EXTENT, ODD_SPREAD, positions
from network_atlas.pictures.parameterizations.fourier import frequency_scale
from network_atlas.pictures.parameterizations.maco import magnitude_of, packaged_magnitude, resized

KINDS = list(PARAMETERIZATIONS)


INVERTIBLE = [kind for kind in KINDS if kind not in ("cppn", "maco", "generator")]


def photograph(channels: int = 3, side: int = 32) -> torch.Tensor:
    """Return a synthetic photograph, (1, channels, side, side): soft forms and an edge, correlated colours."""
    rows, columns = torch.meshgrid(torch.linspace(0, 1, side), torch.linspace(0, 1, side), indexing="ij")
    grey = (rows * 9).sin() * 0.2 + columns * 0.3 + 0.3 + 0.1 * ((rows - 0.5) ** 2 + (columns - 0.4) ** 2 < 0.1)
    return torch.stack([grey + 0.03 * channel * rows for channel in range(channels)])[None].clamp(0.05, 0.95)


@cache
def recipe(kind: str, *overrides: str, height: int = 16, width: int = 16) -> OptimizeConfig:
    sizes = [f"optimize.height_px={height}", f"optimize.width_px={width}"]
    basics = ["dataset=folder", "dataset.root=x", f"optimize/parameterization={kind}"]
    return compose([*basics, *sizes, *overrides]).optimize


def make(kind: str, *, channels: int = 3, height: int = 16, width: int = 16) -> Parameterization:
    config = recipe(kind, height=height, width=width)
    magnitude = magnitude_of(photograph(channels, max(height, width)))[0]
    return parameterization(
        config,
        channels=channels,
        device=torch.device("cpu"),
        magnitude=magnitude,
        generator=untrained(channels, (height, width)),
    )


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (15, 21), (8, 40), (9, 9)])
@pytest.mark.parametrize("channels", [1, 3, 4, 7])
@pytest.mark.parametrize("kind", KINDS)
def test_every_size_and_number_of_channels_gives_images(kind: str, channels: int, height: int, width: int) -> None:
    learned = make(kind, channels=channels, height=height, width=width)
    images = learned.image(learned.start([seeded(0), seeded(1)]))
    assert images.shape == (2, channels, height, width)
    assert 0 < images.min() <= images.max() < 1


@pytest.mark.parametrize("kind", KINDS)
def test_the_start_is_nearly_grey(kind: str) -> None:
    learned = make(kind, height=64, width=64)
    images = learned.image(learned.start([seeded(0)]))
    assert (images - 0.5).abs().mean() < (0.25 if kind == "maco" else 0.05)  # whose contrast is that of photographs


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_depends_on_its_own_generator_only(kind: str) -> None:
    alone = make(kind).start([seeded(5)])
    together = make(kind).start([seeded(1), seeded(5), seeded(2)])
    assert torch.equal(alone[0], together[1])
    assert not torch.equal(together[0], together[1])


@pytest.mark.parametrize("kind", KINDS)
def test_a_pictures_image_depends_on_its_own_parameters_only(kind: str) -> None:
    learned = make(kind)
    parameters = learned.start([seeded(1), seeded(2)]).requires_grad_()
    weights = torch.rand(3, 16, 16, generator=seeded(3))
    (gradient,) = torch.autograd.grad((learned.image(parameters)[0] * weights).sum(), parameters)
    assert gradient[0].abs().sum() > 0
    assert gradient[1].abs().sum() == 0


@pytest.mark.parametrize(
    ("kind", "rate", "steps"),
    [("pixels", 0.2, 150), ("fourier", 0.5, 300), ("laplacian_pyramid", 0.1, 200), ("cppn", 0.01, 600)],
)
def test_it_can_reproduce_a_photograph(kind: str, rate: float, steps: int) -> None:
    photo = photograph()
    learned = make(kind, height=32, width=32)
    parameters = learned.start([seeded(0)]).requires_grad_()
    adam = torch.optim.Adam([parameters], lr=rate)
    for _ in range(steps):
        loss = (learned.image(parameters) - photo).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    assert loss < 1e-3


def test_all_frequencies_start_with_equal_energy_after_scaling() -> None:
    scale = frequency_scale(16, 16, 1.0)
    assert scale[0, 0] == scale[0, 1] == 16  # the mean is held to the lowest frequency
    assert scale[0, 8] == 2
    assert frequency_scale(16, 16, 0.0).unique().tolist() == [1.0]


def test_colours_are_scaled_by_the_largest_column() -> None:
    assert torch.isclose(colour_matrix().norm(dim=0).max(), torch.tensor(1.0))
    assert torch.isclose(colour_matrix()[0, 0], torch.tensor(0.26 / 0.46195), atol=1e-4)


def test_only_three_channels_are_colours() -> None:
    planes = torch.rand(1, 4, 2, 2)
    assert torch.equal(to_image(planes, decorrelated=True), planes.sigmoid())


def test_the_positions_of_a_network_are_rows_before_columns_in_one_scale() -> None:
    grid = positions(3, 5)
    assert grid.shape == (15, 2)
    assert torch.allclose(grid[0], torch.tensor([-1 / 5, -2 / 5]) * 2 * EXTENT)
    assert torch.allclose(grid[1] - grid[0], torch.tensor([0.0, 1 / 5]) * 2 * EXTENT)


def test_hidden_values_keep_mean_zero_and_size_one() -> None:
    bent = torch.randn(1_000_000, generator=seeded(0)).atan()
    for values in (bent / ODD_SPREAD, (bent.square() - EVEN_MEAN) / EVEN_SPREAD):
        assert values.mean().item() == pytest.approx(0, abs=0.02)
        assert values.std().item() == pytest.approx(1, abs=0.02)


def test_gradients_of_other_kinds_want_pixels() -> None:
    with pytest.raises(Exception, match="optimize/parameterization=pixels"):
        recipe("fourier", "optimize.gradient=laplacian")


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("kind", INVERTIBLE)
def test_images_come_back_from_their_parameters(kind: str, channels: int) -> None:
    learned = make(kind, channels=channels, height=32, width=32)
    photo = photograph(channels)
    assert torch.allclose(learned.image(learned.parameters_of(photo)), photo, atol=1e-3)


@pytest.mark.parametrize("kind", INVERTIBLE)
@pytest.mark.parametrize(("height", "width"), [(15, 21), (8, 40), (9, 9)])
def test_images_of_odd_sizes_come_back_from_their_parameters(kind: str, height: int, width: int) -> None:
    learned = make(kind, height=height, width=width)
    images = torch.rand(2, 3, height, width, generator=seeded(0)) * 0.8 + 0.1
    assert torch.allclose(learned.image(learned.parameters_of(images)), images, atol=1e-3)


def test_a_network_of_positions_cannot_start_from_an_image() -> None:
    with pytest.raises(ConfigError, match="fourier"):
        make("cppn").parameters_of(photograph(side=16))


def test_with_a_photographs_own_magnitude_its_phases_give_it_back() -> None:
    photo = photograph()
    learned = make("maco", height=32, width=32)
    image = learned.image(learned.parameters_of(photo))
    correlation = torch.corrcoef(torch.stack([image.flatten(), photo.flatten()]))[0, 1]
    assert correlation > 0.98  # the mean colour is free, and the sigmoid bends what is bright or dark


def test_only_phases_are_learned_whatever_the_parameters() -> None:
    learned = make("maco", height=32, width=32)
    parameters = torch.randn(2, 3, 32, 17, generator=seeded(0)) * torch.tensor([1.0, 40.0]).view(2, 1, 1, 1)
    sizes = magnitude_of(learned.image(parameters)).square().sum(dim=(1, 2, 3))
    assert sizes[0] == pytest.approx(sizes[1].item(), rel=0.15)


def test_a_magnitude_of_another_size_keeps_its_cycles_per_pixel() -> None:
    rows, columns = torch.fft.fftfreq(32)[:, None], torch.fft.rfftfreq(32)[None]
    falling = (1 / (rows**2 + columns**2).sqrt().clamp(min=1 / 32))[None]
    larger = resized(falling, 64, 48)
    assert larger.shape == (1, 64, 25)
    for row, column in ((8, 0), (0, 12), (20, 9), (-16, 3)):
        frequency = ((row / 64) ** 2 + (column / 48) ** 2) ** 0.5
        assert larger[0, row, column].item() == pytest.approx(1 / frequency, rel=0.05)
    assert larger[0, 1, 0].item() == pytest.approx(64, rel=0.05)  # lower than was measured: goes on as 1 / frequency
    assert larger[0, 0, 0] == 0
    assert torch.allclose(resized(falling, 32, 32)[0, 1:], falling[0, 1:])


def test_the_packaged_magnitude_falls_with_frequency_in_every_colour() -> None:
    magnitude = packaged_magnitude()
    assert magnitude.shape == (3, 128, 65)
    along = magnitude[:, 0]
    assert (along[:, 1:4].mean(dim=1) > 4 * along[:, 16:24].mean(dim=1)).all()
    assert (along[:, 16:24].mean(dim=1) > 1.5 * along[:, 48:].mean(dim=1)).all()
    assert magnitude[0].mean() > 1.3 * magnitude[1:].mean()  # brightness varies more than colour


@pytest.mark.parametrize("kind", ["fourier", "pixels", "laplacian_pyramid"])
def test_shared_parts_stay_equal_within_a_group_and_separate_parts_do_not(kind: str) -> None:
    learned = shared(recipe(kind, height=32, width=24), channels=3, device=torch.device("cpu"))
    start = learned.start([seeded(0), seeded(1), seeded(2)])
    gradient = torch.randn(start.shape, generator=seeded(3))
    tied = learned.tied(gradient, [[0, 2], [1]])
    coarse = sum(3 * (32 >> level) * (24 >> level) for level in range(1, 5))
    assert torch.equal(tied[0, -coarse:], tied[2, -coarse:])
    assert torch.allclose(tied[0, -coarse:], (gradient[0, -coarse:] + gradient[2, -coarse:]) / 2)
    assert torch.equal(tied[1], gradient[1])
    assert torch.equal(tied[:, :-coarse], gradient[:, :-coarse])
    assert learned.image(start + tied).shape == (3, 3, 32, 24)


@pytest.mark.parametrize("kind", ["cppn", "maco"])
def test_pictures_without_planes_share_nothing(kind: str) -> None:
    with pytest.raises(ConfigError, match="fourier, pixels or laplacian_pyramid"):
        shared(recipe(kind), channels=3, device=torch.device("cpu"))
