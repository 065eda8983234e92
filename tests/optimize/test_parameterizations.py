from __future__ import annotations

import pytest
import torch

from pipeline.config.compose import compose
from pipeline.config.recipe import OptimizeConfig
from pipeline.optimize.parameterizations import PARAMETERIZATIONS, Parameterization, parameterization
from pipeline.optimize.parameterizations.colours import colour_matrix, to_image
from pipeline.optimize.parameterizations.cppn import EXTENT, places
from pipeline.optimize.parameterizations.fourier import frequency_scale

KINDS = list(PARAMETERIZATIONS)


def recipe(kind: str, *overrides: str, height: int = 16, width: int = 16) -> OptimizeConfig:
    sizes = [f"optimize.height_px={height}", f"optimize.width_px={width}"]
    given = ["dataset=folder", "dataset.root=x", f"optimize/parameterization={kind}"]
    return compose([*given, *sizes, *overrides]).optimize


def make(kind: str, *, channels: int = 3, height: int = 16, width: int = 16) -> Parameterization:
    config = recipe(kind, height=height, width=width)
    return parameterization(config, channels=channels, device=torch.device("cpu"))


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
    assert (images - 0.5).abs().mean() < 0.05


@pytest.mark.parametrize("kind", KINDS)
def test_an_item_depends_on_its_own_generator_only(kind: str) -> None:
    alone = make(kind).start([seeded(5)])
    together = make(kind).start([seeded(1), seeded(5), seeded(2)])
    assert torch.equal(alone[0], together[1])
    assert not torch.equal(together[0], together[1])


@pytest.mark.parametrize("kind", KINDS)
def test_an_items_image_depends_on_its_own_parameters_only(kind: str) -> None:
    learned = make(kind)
    parameters = learned.start([seeded(1), seeded(2)]).requires_grad_()
    weights = torch.rand(3, 16, 16, generator=seeded(3))
    (gradient,) = torch.autograd.grad((learned.image(parameters)[0] * weights).sum(), parameters)
    assert gradient[0].abs().sum() > 0
    assert gradient[1].abs().sum() == 0


@pytest.mark.parametrize(
    ("kind", "rate", "steps"),
    [("pixels", 0.2, 150), ("fourier", 0.5, 300), ("laplacian_pyramid", 0.1, 200), ("cppn", 0.01, 400)],
)
def test_it_can_reproduce_a_photograph(kind: str, rate: float, steps: int) -> None:
    rows, columns = torch.meshgrid(torch.linspace(0, 1, 32), torch.linspace(0, 1, 32), indexing="ij")
    photo = torch.stack([rows, columns, (rows * 9).sin() * 0.4 + 0.5])[None].clamp(0.05, 0.95)
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


def test_the_places_of_a_network_are_rows_before_columns_in_one_scale() -> None:
    grid = places(3, 5)
    assert grid.shape == (15, 2)
    assert torch.allclose(grid[0], torch.tensor([-1 / 5, -2 / 5]) * 2 * EXTENT)
    assert torch.allclose(grid[1] - grid[0], torch.tensor([0.0, 1 / 5]) * 2 * EXTENT)


def test_gradients_of_other_kinds_want_pixels() -> None:
    with pytest.raises(Exception, match="optimize/parameterization=pixels"):
        recipe("fourier", "optimize.gradient=laplacian")
