from __future__ import annotations

from typing import Any

import pytest
import torch

from network_atlas.config.recipe import CropConfig, TransformConfig
from network_atlas.pictures.transforms import GREY, draw_crops, draw_warps, warp

STILL = torch.tensor([[0.0, 0.0, 1.0, 0.0]])


def config(**changes: Any) -> TransformConfig:
    still: dict[str, Any] = {
        "pad_px": 0.0,
        "fill": "grey",
        "jitter_px": 0.0,
        "scale_min": 1.0,
        "scale_max": 1.0,
        "rotate_degrees": 0.0,
        "crop": None,
        "views": 1,
        "noise_std": 0.0,
    }
    return TransformConfig(**(still | changes))


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


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


def test_warps_stay_in_range_and_come_from_the_pictures_generator() -> None:
    settings = config(jitter_px=8, scale_min=0.9, scale_max=1.1, rotate_degrees=10)
    warps = draw_warps(settings, seeded(2), 600, (16, 16))
    assert torch.equal(warps, draw_warps(settings, seeded(2), 600, (16, 16)))
    assert not torch.equal(warps, draw_warps(settings, seeded(3), 600, (16, 16)))
    assert 7 < warps[..., :2].abs().max() <= 8
    assert 0.9 <= warps[..., 2].min() < 0.91
    assert 1.09 < warps[..., 2].max() <= 1.1
    assert warps[..., 3].abs().max() <= torch.deg2rad(torch.tensor(10.0)) + 1e-6


def test_every_view_has_its_own_warp() -> None:
    warps = draw_warps(config(jitter_px=8, views=3), seeded(0), 5, (16, 16))
    assert warps.shape == (5, 3, 4)
    assert len(warps.reshape(15, 4).unique(dim=0)) == 15


def test_a_frame_makes_the_picture_smaller() -> None:
    (warps,) = draw_warps(config(pad_px=4), seeded(0), 1, (16, 16))
    seen = warp(torch.ones(1, 1, 16, 16), warps, height=24, width=24)
    assert seen[0, 0, :4].abs().sub(GREY).abs().max() < 1e-5
    assert torch.allclose(seen[0, 0, 5:19, 5:19], torch.tensor(1.0), atol=1e-5)


@pytest.mark.parametrize("fill", ["border", "reflection"])
def test_what_comes_from_outside_may_be_the_picture_itself(fill: str) -> None:
    moved = warp(torch.ones(1, 3, 8, 8), torch.tensor([[5.0, 0.0, 1.0, 0.0]]), height=8, width=8, fill=fill)
    assert torch.allclose(moved, torch.tensor(1.0), atol=1e-5)


CROP = CropConfig(start=0.5, end=0.05, spread=0.15)


def test_crops_shrink_from_start_to_end_and_stay_inside() -> None:
    side, centre = draw_crops(CROP, seeded(0), 400, 8)
    assert side[0].tolist() == [0.5] * 8
    assert side[-1].tolist() == pytest.approx([0.05] * 8)
    assert (side.diff(dim=0) < 0).all()
    assert (centre - side[..., None] / 2 >= -1e-6).all()
    assert (centre + side[..., None] / 2 <= 1 + 1e-6).all()
    assert centre[200:].std().item() == pytest.approx(0.15, rel=0.1)
    assert centre.mean().item() == pytest.approx(0.5, abs=0.02)


def test_a_crop_is_seen_at_the_inputs_size_without_any_border() -> None:
    rows, columns = torch.meshgrid(torch.linspace(0, 1, 40), torch.linspace(0, 1, 60), indexing="ij")
    image = torch.stack([rows, columns])[None]
    (warps,) = draw_warps(config(crop=CropConfig(start=0.5, end=0.5, spread=0.15)), seeded(1), 1, (40, 60))
    _, centres = draw_crops(CropConfig(start=0.5, end=0.5, spread=0.15), seeded_after_rand(1), 1, 1)
    seen = warp(image, warps, height=32, width=32)
    middle = seen[0, :, 15:17, 15:17].mean(dim=(1, 2))
    assert middle.tolist() == pytest.approx(centres[0, 0].tolist(), abs=0.02)
    for axis in (0, 1):
        assert (seen[0, axis].max() - seen[0, axis].min()).item() == pytest.approx(0.5, abs=0.04)


def seeded_after_rand(seed: int) -> torch.Generator:
    """Return a generator that has drawn the four numbers of one warp already."""
    generator = seeded(seed)
    torch.rand(1, 1, 4, generator=generator)
    return generator


def test_a_picture_that_goes_round_comes_in_again_from_the_other_side() -> None:
    image = torch.rand(2, 3, 9, 13, generator=seeded(0))
    moved = warp(image, torch.tensor([[4.0, -6.0, 1.0, 0.0], [11.0, 15.0, 1.0, 0.0]]), height=9, width=13, fill="wrap")
    assert torch.allclose(moved[0], image[0].roll((4, -6), dims=(1, 2)), atol=1e-5)
    assert torch.allclose(moved[1], image[1].roll((11, 15), dims=(1, 2)), atol=1e-5)
    (half,) = warp(image[:1], torch.tensor([[0.5, 0.0, 1.0, 0.0]]), height=9, width=13, fill="wrap")
    assert torch.allclose(half[:, 0], (image[0, :, 0] + image[0, :, -1]) / 2, atol=1e-5)  # the seam is interpolated


def mean_gradient(settings: TransformConfig, size: tuple[int, int], *, rounds: int) -> torch.Tensor:
    """Return the mean size of each pixel's gradient, over random pictures and steps, for a unit that sees 3 pixels."""
    generator, total = seeded(0), torch.zeros(size)
    weights = torch.randn(1, 1, 3, 3, generator=generator)
    for warps in draw_warps(settings, generator, rounds * 64, size).reshape(rounds, 64, 4):
        pictures = torch.rand(64, 1, *size, generator=generator).requires_grad_()
        seen = warp(pictures, warps, height=28, width=28, fill=settings.fill)
        score = torch.nn.functional.conv2d(seen - GREY, weights).relu().mean(dim=(1, 2, 3)).sum()
        total += torch.autograd.grad(score, pictures)[0].abs().sum(dim=(0, 1))
    return total / total.mean()


def test_every_pixel_of_a_picture_that_goes_round_gets_as_much_gradient_as_any_other() -> None:
    wide: dict[str, Any] = {"scale_min": 0.7, "scale_max": 1.4, "rotate_degrees": 30.0, "jitter_px": 3.0}
    whole_round = mean_gradient(config(fill="wrap", **wide), (12, 16), rounds=24)
    bordered = mean_gradient(config(fill="grey", **wide), (12, 16), rounds=6)

    def corner_and_middle(gradient: torch.Tensor) -> tuple[float, float]:
        corners = torch.stack([gradient[row, column] for row in (0, -1) for column in (0, -1)])
        return float(corners.mean()), float(gradient[4:8, 6:10].mean())

    corner, middle = corner_and_middle(whole_round)
    assert corner == pytest.approx(middle, rel=0.1)
    assert (whole_round - 1).abs().max() < 0.2
    corner, middle = corner_and_middle(bordered)
    assert corner < 0.6 * middle
