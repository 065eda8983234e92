from __future__ import annotations

import pytest
import torch

from pipeline.config.schema import FourierConfig
from pipeline.optimize.parameterizations.fourier import Fourier, colour_matrix, frequency_scale

CONFIG = FourierConfig(name="fourier", decay=1.0, std=0.01)


def fourier(*, channels: int = 3, height: int = 16, width: int = 16) -> Fourier:
    return Fourier(CONFIG, channels=channels, height=height, width=width, device=torch.device("cpu"))


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (15, 21), (1, 8), (9, 9)])
@pytest.mark.parametrize("channels", [1, 3, 4, 7])
def test_every_size_and_number_of_channels_gives_images(height: int, width: int, channels: int) -> None:
    learned = fourier(channels=channels, height=height, width=width)
    images = learned.image(learned.start([seeded(0), seeded(1)]))
    assert images.shape == (2, channels, height, width)
    assert 0 < images.min() < images.max() < 1


def test_the_start_is_nearly_grey() -> None:
    learned = fourier(height=64, width=64)
    images = learned.image(learned.start([seeded(0)]))
    assert (images - 0.5).abs().mean() < 0.05


def test_an_item_depends_on_its_own_generator_only() -> None:
    alone = fourier().start([seeded(5)])
    together = fourier().start([seeded(1), seeded(5), seeded(2)])
    assert torch.equal(alone[0], together[1])


def test_it_can_reproduce_a_photograph() -> None:
    rows, columns = torch.meshgrid(torch.linspace(0, 1, 32), torch.linspace(0, 1, 32), indexing="ij")
    photo = torch.stack([rows, columns, (rows * 9).sin() * 0.4 + 0.5])[None].clamp(0.05, 0.95)
    learned = fourier(height=32, width=32)
    parameters = learned.start([seeded(0)]).requires_grad_()
    adam = torch.optim.Adam([parameters], lr=0.5)
    for _ in range(300):
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
