"""Transform pictures at random: shift, zoom, turn and crop, as one fused warp per view.

One resampling does padding, jitter, scale, rotation, crop and the resize to the model's input; a chain of separate
transforms blurs at every link and costs more. Each picture's warps come from its own generator, so that they don't
depend on the other pictures of the batch. What lies outside of the picture is filled before the model's own
normalization: filled after it, grey would be another colour.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from network_atlas.config.recipe import CropConfig, TransformConfig

GREY = 0.5


def draw_warps(
    config: TransformConfig, generator: torch.Generator, steps: int, size: tuple[int, int]
) -> Float[Tensor, "steps views 4"]:
    """Return one picture's warps: shift in rows and in columns (pixels), zoom factor, turn in radians.

    `size` is the picture's (height, width).
    """
    # Always four numbers a warp, whatever is switched on: a setting must not change what the others draw.
    drawn = torch.rand(steps, config.views, 4, generator=generator)
    symmetric = drawn * 2 - 1
    padded = max(size) / (max(size) + 2 * config.pad_px)
    zoom = padded * (config.scale_min + drawn[..., 2] * (config.scale_max - config.scale_min))
    turn = symmetric[..., 3] * torch.deg2rad(torch.tensor(config.rotate_degrees))
    # All the way round, whatever the zoom and turn: every pixel is in sight as often as any other.
    farthest = torch.tensor(size) / 2 if config.fill == "wrap" else config.jitter_px
    shift = symmetric[..., :2] * farthest
    if config.crop is not None:
        side, centre = draw_crops(config.crop, generator, steps, config.views)
        zoom = zoom / side
        shift = shift - (centre - 0.5) * torch.tensor(size, dtype=torch.float32)
    return torch.stack([shift[..., 0], shift[..., 1], zoom, turn], dim=-1)


def draw_crops(
    config: CropConfig, generator: torch.Generator, steps: int, views: int
) -> tuple[Float[Tensor, "steps views"], Float[Tensor, "steps views 2"]]:
    """Return crops as shares of the picture: their sides, and their centres, rows before columns (Fel et al. 2023).

    Sides fall linearly from `start` to `end`. Centres are normal around the middle; no crop leaves the picture.
    """
    side = torch.linspace(config.start, config.end, steps)[:, None].expand(-1, views)
    centre = 0.5 + config.spread * torch.randn(steps, views, 2, generator=generator)
    half = side[..., None] / 2
    return side, torch.minimum(torch.maximum(centre, half), 1 - half)


def warp(
    images: Float[Tensor, "batch channels h w"],
    warps: Float[Tensor, "batch 4"],
    *,
    height: int,
    width: int,
    fill: str = "grey",
    share: float = 1.0,
) -> Float[Tensor, "batch channels height width"]:
    """Return images on 0..1, each warped by its warp and resized to (height, width).

    `share` is the largest part of a side that a crop shows.
    """
    size = images.shape[-2:]
    # A picture larger than the input is warped at its own size, then averaged down: sampling would skip pixels.
    shrinks = size[0] * share > height or size[1] * share > width
    target = size if shrinks else (height, width)
    grid = F.affine_grid(_matrices(warps, *size), [*images.shape[:2], *target], align_corners=False)
    return resize(_sampled(images, grid, fill), height=height, width=width)


def _sampled(
    images: Float[Tensor, "batch channels h w"], grid: Float[Tensor, "batch height width 2"], fill: str
) -> Float[Tensor, "batch channels height width"]:
    """Return images read at the positions of a grid, on -1..1 with x before y."""
    if fill == "wrap":
        # A frame of one pixel from the other side, so that the seam is interpolated as all else.
        size = torch.tensor([images.shape[-1], images.shape[-2]], device=grid.device)
        grid = ((grid + 1).remainder(2) - 1) * (size / (size + 2))
        images, fill = F.pad(images, (1, 1, 1, 1), mode="circular"), "border"
    mode = "zeros" if fill == "grey" else fill
    # Grey is subtracted first, because grid_sample fills with zeros.
    return F.grid_sample(images - GREY, grid, mode="bilinear", padding_mode=mode, align_corners=False) + GREY


def resize(
    images: Float[Tensor, "batch channels h w"], *, height: int, width: int
) -> Float[Tensor, "batch channels height width"]:
    """Return images resized to (height, width), averaging where they shrink."""
    if images.shape[-2:] == (height, width):
        return images
    return F.interpolate(images, size=(height, width), mode="bilinear", antialias=True, align_corners=False)


def _matrices(warps: Float[Tensor, "batch 4"], height: int, width: int) -> Float[Tensor, "batch 2 3"]:
    """Return affine maps from output to input positions, both on -1..1 with x (columns) before y (rows).

    affine_grid asks where each output pixel comes from, so all is inverted: a zoom divides, a shift is subtracted.
    """
    rows, columns, zoom, turn = warps.unbind(dim=-1)
    cosine, sine = torch.cos(turn) / zoom, torch.sin(turn) / zoom
    aspect = width / height  # -1..1 spans both sides: without it, a turn would shear a picture that is not square
    return torch.stack(
        [
            torch.stack([cosine, -sine / aspect, -2 * columns / width], dim=-1),
            torch.stack([sine * aspect, cosine, -2 * rows / height], dim=-1),
        ],
        dim=1,
    )
