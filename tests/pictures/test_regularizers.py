from __future__ import annotations

import pytest
import torch

from network_atlas.config.recipe import RegularizerConfig
from network_atlas.pictures.regularizers import REGULARIZERS, bilaterally_filtered, blurred, penalty

GREY = torch.full((1, 3, 8, 8), 0.5)


def images(seed: int = 0, count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, 8, 10, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", list(REGULARIZERS))
def test_grey_costs_nothing_and_noise_does(name: str) -> None:
    assert REGULARIZERS[name](GREY).abs().max() < 1e-6
    assert (REGULARIZERS[name](images()) > 0).all()


@pytest.mark.parametrize("name", list(REGULARIZERS))
def test_each_picture_pays_for_itself(name: str) -> None:
    both = REGULARIZERS[name](images())
    alone = REGULARIZERS[name](images()[1:])
    assert both.shape == (2,)
    assert torch.allclose(both[1:], alone)


@pytest.mark.parametrize("name", list(REGULARIZERS))
def test_following_the_gradient_lowers_the_penalty(name: str) -> None:
    start = blurred(blurred(images())).requires_grad_()
    before = REGULARIZERS[name](start)
    (gradient,) = torch.autograd.grad(before.sum(), start)
    after = REGULARIZERS[name](start - gradient)
    assert (after < before).all()


def test_values_are_means_over_pixels_and_channels() -> None:
    step = GREY.clone()
    step[0, 0, :, 4:] = 0.75
    assert REGULARIZERS["l1"](step).item() == pytest.approx(0.25 / 6)  # half the columns of one of three channels
    assert REGULARIZERS["l2"](step).item() == pytest.approx(0.5 * 0.25**2 / 6)
    assert REGULARIZERS["total_variation"](step).item() == pytest.approx(0.25 / (3 * 7))  # one of seven differences


@pytest.mark.parametrize("name", ["l1", "l2", "border"])
def test_a_penalty_is_the_same_for_a_picture_of_any_size(name: str) -> None:
    small = torch.full((1, 3, 10, 10), 0.8)
    assert REGULARIZERS[name](small).item() == pytest.approx(REGULARIZERS[name](small.repeat(1, 1, 6, 6)).item())


@pytest.mark.parametrize("name", ["total_variation", "blur", "bilateral"])
def test_a_penalty_on_texture_is_nearly_the_same_for_a_picture_of_any_size(name: str) -> None:
    tile = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    penalties = [REGULARIZERS[name](tile.repeat(1, 1, times, times)).item() for times in (1, 4)]
    assert penalties[1] == pytest.approx(penalties[0], rel=0.15)  # what differs are the edges


def test_the_border_alone_is_penalized() -> None:
    middle, edge = GREY.clone(), GREY.clone()
    middle[..., 4, 4] = 1.0
    edge[..., 0, 4] = 1.0
    assert REGULARIZERS["border"](middle).item() == 0
    assert REGULARIZERS["border"](edge).item() > 0


def test_the_bilateral_filter_keeps_edges_that_a_blur_destroys() -> None:
    step = torch.zeros(1, 3, 8, 8)
    step[..., 4:] = 1.0
    assert (bilaterally_filtered(step) - step).abs().max() < 0.01
    assert (blurred(step) - step).abs().max() > 0.2


def test_blurring_keeps_the_mean_of_a_constant() -> None:
    assert torch.allclose(blurred(GREY), GREY)


def test_penalties_add_with_their_weights() -> None:
    both = [RegularizerConfig(name="l1", weight=2.0), RegularizerConfig(name="l2", weight=3.0)]
    expected = 2 * REGULARIZERS["l1"](images()) + 3 * REGULARIZERS["l2"](images())
    assert torch.allclose(penalty(images(), both), expected)
    assert penalty(images(), []).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("name", ["l1", "l2", "total_variation", "border"])
def test_gradients_equal_numerical_differentiation(name: str) -> None:
    start = images(count=1).double().requires_grad_()
    assert torch.autograd.gradcheck(REGULARIZERS[name], (start,), atol=1e-4)
