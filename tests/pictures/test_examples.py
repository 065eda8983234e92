from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from network_atlas.pictures.examples import (
    SORTED,
    MatchTarget,
    difference,
    distribution,
    match_targets,
    part_in,
    target_of,
)
from network_atlas.pictures.target import Target

MATCHES = ("moments", "sorted")
BOX = (0.0, 0.0, 16.0, 16.0)


def maps(seed: int = 0, *, channels: int = 3, rows: int = 6, columns: int = 7) -> torch.Tensor:
    return torch.randn(channels, rows, columns, generator=torch.Generator().manual_seed(seed))


def goal(*seeds: int, match: str) -> MatchTarget:
    examples = [maps(seed) for seed in seeds]
    return target_of(
        [(distribution(each, match), each.mean((1, 2)), each.flatten(1).var(1, unbiased=False)) for each in examples]
    )


def test_moments_are_each_channels_mean_and_standard_deviation() -> None:
    numbers = distribution(maps(), "moments")
    assert torch.allclose(numbers[:, 0], maps().mean((1, 2)))
    assert torch.allclose(numbers[:, 1], maps().flatten(1).std(1, unbiased=False))


@pytest.mark.parametrize("count", [1, 5, 16, 42, 100])
def test_sorted_values_are_the_means_of_sixteen_equal_parts(count: int) -> None:
    values = torch.arange(count, dtype=torch.float32).flip(0)
    numbers = distribution(values[None, None], "sorted")
    fine = values.sort().values.repeat_interleave(SORTED).reshape(SORTED, count).mean(1)  # by hand, in whole pieces
    assert torch.allclose(numbers[0], fine, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("match", MATCHES)
def test_where_values_lie_does_not_count(match: str) -> None:
    moved = maps().flip(1).roll(3, dims=2)
    assert torch.allclose(distribution(moved, match), distribution(maps(), match), atol=1e-6)


@pytest.mark.parametrize("match", MATCHES)
def test_positions_that_show_no_picture_are_left_out(match: str) -> None:
    inside = torch.zeros(6, 7, dtype=torch.bool)
    inside[1:4, 2:6] = True
    assert torch.allclose(distribution(maps(), match, inside), distribution(maps()[:, 1:4, 2:6], match), atol=1e-6)
    nothing = torch.zeros(6, 7, dtype=torch.bool)
    assert torch.equal(distribution(maps(), match, nothing), distribution(maps(), match))


@pytest.mark.parametrize("match", MATCHES)
def test_an_example_alone_is_its_own_target(match: str) -> None:
    assert difference(distribution(maps(4), match), goal(4, match=match)) < 1e-10
    assert difference(distribution(maps(5), match), goal(4, match=match)) > 1e-3


def test_the_difference_is_measured_in_the_examples_variances() -> None:
    shift, alone = 2.0, goal(1, match="moments")
    moved = distribution(maps(1) + shift, "moments")
    expected = (shift**2 / alone.variance).mean() / 2  # the mean moved, the deviation did not
    assert difference(moved, alone).item() == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize("match", MATCHES)
def test_following_the_gradient_lowers_the_difference(match: str) -> None:
    aim, values = goal(1, 2, 3, match=match), (maps(7) * 3).requires_grad_()
    before = difference(distribution(values, match), aim)
    (gradient,) = torch.autograd.grad(before, values)
    assert difference(distribution(values - gradient, match), aim) < before


def test_a_channel_that_is_dead_has_a_finite_gradient() -> None:
    values = torch.zeros(2, 3, 3, requires_grad=True)
    constant = (distribution(values, "moments").detach() + 1, torch.zeros(2), torch.zeros(2))
    loss = difference(distribution(values, "moments"), target_of([constant]))
    (gradient,) = torch.autograd.grad(loss, values)
    assert gradient.isfinite().all()


def test_the_part_that_the_unit_saw_is_compared() -> None:
    image = torch.arange(64 * 32.0).reshape(1, 64, 32)
    assert torch.equal(part_in(image, (10.0, 5.0, 50.0, 37.0), (64, 64)), image[:, 10:50, 2:19])
    # A field of few pixels becomes one of 32; one that reaches beyond the edge is moved inside.
    assert part_in(image, (0.0, 62.0, 3.0, 65.0), (64, 64)).shape == (1, 32, 16)
    assert part_in(image, BOX, (16, 16)).shape == image.shape
    tokens = torch.zeros(4, 17, 1)
    assert part_in(tokens, (0.0, 0.0, 1.0, 1.0), (64, 64)).shape == tokens.shape


def test_targets_are_the_same_bits_whatever_is_computed_before(target: Callable[..., Target]) -> None:
    earlier, images = target("conv1", "conv2"), torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    first = match_targets(earlier, images, [BOX] * 5, match="sorted")
    match_targets(earlier, images[:1], [BOX], match="sorted")
    again = match_targets(target("conv2", "conv1"), images, [BOX] * 5, match="sorted")
    for name in ("conv1", "conv2"):
        assert torch.equal(first[name].numbers, again[name].numbers)
        assert torch.equal(first[name].variance, again[name].variance)
    assert first["conv1"].numbers.shape == (8, SORTED)
