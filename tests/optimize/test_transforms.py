from __future__ import annotations

import pytest
import torch

from pipeline.config.recipe import TransformConfig
from pipeline.optimize.transforms import GREY, draw_warps, warp

STILL = torch.tensor([[0.0, 0.0, 1.0, 0.0]])


def config(**changes: float) -> TransformConfig:
    still = {"jitter_px": 0.0, "scale_min": 1.0, "scale_max": 1.0, "rotate_degrees": 0.0, "noise_std": 0.0}
    return TransformConfig(**(still | changes))


def dot(row: int, column: int, *, height: int = 9, width: int = 13) -> torch.Tensor:
    image = torch.full((1, 1, height, width), GREY)
    image[0, 0, row, column] = 1.0
    return image


def brightest(image: torch.Tensor) -> tuple[int, int]:
    index = int(image[0, 0].argmax())
    return index // image.shape[-1], index % image.shape[-1]


def test_no_warp_changes_nothing() -> None:
    image = torch.rand(1, 3, 9, 13)
    assert torch.allclose(warp(image, STILL, height=9, width=13), image, atol=1e-5)


@pytest.mark.parametrize(("rows", "columns"), [(2.0, 0.0), (0.0, -3.0), (-1.0, 4.0)])
def test_shifts_are_in_rows_and_columns(rows: float, columns: float) -> None:
    moved = warp(dot(4, 6), torch.tensor([[rows, columns, 1.0, 0.0]]), height=9, width=13)
    assert brightest(moved) == (4 + rows, 6 + columns)


def test_a_quarter_turn_keeps_distances_in_a_map_that_is_not_square() -> None:
    quarter = torch.tensor([[0.0, 0.0, 1.0, torch.pi / 2]])
    moved = warp(dot(4, 9), quarter, height=9, width=13)  # three columns right of the centre
    assert brightest(moved) in {(1, 6), (7, 6)}  # three rows above or below


def test_zoom_moves_away_from_the_centre() -> None:
    moved = warp(dot(4, 8), torch.tensor([[0.0, 0.0, 2.0, 0.0]]), height=9, width=13)
    assert brightest(moved) == (4, 10)


def test_what_comes_from_outside_is_grey() -> None:
    moved = warp(torch.ones(1, 3, 8, 8), torch.tensor([[8.0, 0.0, 1.0, 0.0]]), height=8, width=8)
    assert torch.allclose(moved[:, :, :7], torch.tensor(GREY), atol=1e-5)


@pytest.mark.parametrize(("size", "target"), [((8, 8), (16, 20)), ((32, 32), (16, 16)), ((8, 40), (16, 16))])
def test_the_result_has_the_inputs_size(size: tuple[int, int], target: tuple[int, int]) -> None:
    moved = warp(torch.rand(2, 3, *size), STILL.expand(2, 4), height=target[0], width=target[1])
    assert moved.shape == (2, 3, *target)


def test_a_larger_picture_is_averaged_not_sampled() -> None:
    stripes = torch.zeros(1, 1, 64, 64)
    stripes[..., ::2] = 1.0
    small = warp(stripes, STILL, height=16, width=16)
    assert (small[..., 2:-2, 2:-2] - 0.5).abs().max() < 0.05


def test_warps_stay_in_range_and_belong_to_their_item() -> None:
    settings = config(jitter_px=8, scale_min=0.9, scale_max=1.1, rotate_degrees=10)
    three = [torch.Generator().manual_seed(seed) for seed in (1, 2, 3)]
    warps = draw_warps(settings, three, 200)
    alone = draw_warps(settings, [torch.Generator().manual_seed(2)], 200)
    assert torch.equal(warps[:, 1], alone[:, 0])
    assert not torch.equal(warps[:, 0], warps[:, 1])
    assert 7 < warps[..., :2].abs().max() <= 8
    assert 0.9 <= warps[..., 2].min() < 0.91
    assert 1.09 < warps[..., 2].max() <= 1.1
    assert warps[..., 3].abs().max() <= torch.deg2rad(torch.tensor(10.0)) + 1e-6
