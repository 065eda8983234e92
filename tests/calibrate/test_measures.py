from __future__ import annotations

import numpy as np
import pytest
import torch
from optimizing import picture

from network_atlas.calibrate.measures import frequency_distance, path_likeness, rank_of
from network_atlas.pictures.parameterizations.maco import magnitude_of
from network_atlas.units import Channel, Layer, Neuron

MAPS = torch.tensor([[1.0, 3.0], [5.0, 0.0], [2.0, 2.5]]).reshape(3, 1, 2)  # means 2, 2.5, 2.25


def pink(seed: int, *, slope: float = 1.0, side: int = 64) -> torch.Tensor:
    """Return an image (3, side, side) whose magnitude falls as 1 / frequency ** slope."""
    noise = torch.randn(3, side, side, generator=torch.Generator().manual_seed(seed))
    rows, columns = torch.fft.fftfreq(side)[:, None], torch.fft.rfftfreq(side)[None]
    shaped = torch.fft.rfft2(noise) / (rows**2 + columns**2).sqrt().clamp(min=1 / side) ** slope
    image = torch.fft.irfft2(shaped, s=(side, side))
    return 0.5 + 0.1 * image / image.std()


@pytest.mark.parametrize(("channel", "sign", "rank"), [(1, 1, 1), (2, 1, 2), (0, 1, 3), (0, -1, 1), (1, -1, 3)])
def test_the_rank_is_by_spatial_mean_and_from_below_when_minimized(channel: int, sign: int, rank: int) -> None:
    assert rank_of(picture(Channel(layer="a", channel=channel), sign=sign), MAPS) == rank


def test_neurons_are_ranked_at_their_position_and_layers_not_at_all() -> None:
    assert rank_of(picture(Neuron(layer="a", channel=0, row=0, column=1)), MAPS) == 1
    assert rank_of(picture(Neuron(layer="a", channel=0, row=0, column=0)), MAPS) == 3
    assert rank_of(picture(Layer(layer="a")), MAPS) is None


def test_a_picture_with_the_datasets_frequencies_is_near_and_white_noise_far() -> None:
    natural = torch.stack([magnitude_of(pink(seed)[None])[0] for seed in range(8)]).mean(dim=0)
    alike, white, steep = (frequency_distance(pink(20, slope=slope), natural) for slope in (1.0, 0.0, 2.0))
    assert alike < 0.1
    assert white > 0.3
    assert steep > 0.3


def test_contrast_changes_no_frequency_distance() -> None:
    natural = magnitude_of(pink(1)[None])[0]
    image = pink(2)
    softer = 0.5 + (image - 0.5) * 0.3
    assert frequency_distance(softer, natural) == pytest.approx(frequency_distance(image, natural), abs=1e-3)


def test_path_similarity_is_one_among_the_best_and_zero_for_any() -> None:
    generator = np.random.default_rng(0)
    random = generator.normal(size=(400, 40))
    shared = generator.normal(size=40) * 2
    top = generator.normal(size=(60, 40)) + shared
    alike = [path_likeness([(generator.normal(size=(1, 40)) + shared)], [top], [random]).similarity for _ in range(40)]
    any_image = [path_likeness([generator.normal(size=(1, 40))], [top], [random]).similarity for _ in range(40)]
    assert np.mean([value for value in alike if value is not None]) == pytest.approx(1.0, abs=0.1)
    assert np.mean([value for value in any_image if value is not None]) == pytest.approx(0.0, abs=0.1)


def test_path_similarity_is_none_where_the_examples_have_nothing_in_common() -> None:
    generator = np.random.default_rng(0)
    random = generator.normal(size=(50, 8))
    image = generator.normal(size=(1, 8))
    assert path_likeness([image], [image], [random]).similarity is None  # a single example
    assert path_likeness([image], [np.zeros((3, 8))], [np.zeros((50, 8))]).similarity is None  # a dead layer
    opposite = np.concatenate([random[:1] * 3, -random[:1] * 3])
    assert path_likeness([image], [opposite], [random]).similarity is None  # no more alike than any two images
