"""What a picture must survive: a random shift, zoom, turn and crop, as one fused warp per view.

One resampling holds padding, jitter, scale, rotation, crop and the resize to the model's input; a chain of separate
transforms blurs at every link and costs more. Each picture's warps come from its own generator, so that batch mates
never matter. What falls outside is filled before the model's own normalization.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from network_atlas.config.recipe import CropConfig, TransformConfig

GREY = 0.5


def draw_warps(config: TransformConfig, generator: torch.Generator, steps: int, size: tuple[int, int]) -> Tensor:
    """Return one picture's warps, (steps, views, 4): shift in rows and columns (pixels), zoom factor, turn in radians.

    `size` is the picture's (height, width).
    """
    drawn = torch.rand(steps, config.views, 4, generator=generator)
    symmetric = drawn * 2 - 1
    padded = max(size) / (max(size) + 2 * config.pad_px)
    zoom = padded * (config.scale_min + drawn[..., 2] * (config.scale_max - config.scale_min))
    turn = symmetric[..., 3] * torch.deg2rad(torch.tensor(config.rotate_degrees))
    shift = symmetric[..., :2] * config.jitter_px
    if config.crop is not None:
        side, centre = draw_crops(config.crop, generator, steps, config.views)
        zoom = zoom / side
        shift = shift - (centre - 0.5) * torch.tensor(size, dtype=torch.float32)
    return torch.stack([shift[..., 0], shift[..., 1], zoom, turn], dim=-1)


def draw_crops(config: CropConfig, generator: torch.Generator, steps: int, views: int) -> tuple[Tensor, Tensor]:
    """Return crops as shares of the picture: sides (steps, views), centres (steps, views, 2), rows before columns.

    Sides fall linearly from `start` to `end`; centres are normal around the middle, and no crop leaves the picture.
    """
    side = torch.linspace(config.start, config.end, steps)[:, None].expand(-1, views)
    centre = 0.5 + config.spread * torch.randn(steps, views, 2, generator=generator)
    half = side[..., None] / 2
    return side, torch.minimum(torch.maximum(centre, half), 1 - half)


def warp(images: Tensor, warps: Tensor, *, height: int, width: int, fill: str = "grey", share: float = 1.0) -> Tensor:
    """Return `images` (batch, channels, h, w) on 0..1, warped by `warps` (batch, 4) and resized to (height, width).

    `share` is the largest part of a side that a crop shows.
    """
    size = images.shape[-2:]
    # A picture larger than the input is warped at its own size, then averaged down: sampling would skip pixels.
    shrinks = size[0] * share > height or size[1] * share > width
    target = size if shrinks else (height, width)
    grid = F.affine_grid(_matrices(warps, *size), [*images.shape[:2], *target], align_corners=False)
    mode = "zeros" if fill == "grey" else fill
    moved = F.grid_sample(images - GREY, grid, mode="bilinear", padding_mode=mode, align_corners=False) + GREY
    return resize(moved, height=height, width=width)


def resize(images: Tensor, *, height: int, width: int) -> Tensor:
    """Return images resized to (height, width), averaging where they shrink."""
    if images.shape[-2:] == (height, width):
        return images
    return F.interpolate(images, size=(height, width), mode="bilinear", antialias=True, align_corners=False)


def _matrices(warps: Tensor, height: int, width: int) -> Tensor:
    """Return (batch, 2, 3) maps from output to input positions, both on -1..1 with x (columns) first."""
    rows, columns, zoom, turn = warps.unbind(dim=-1)
    cosine, sine = torch.cos(turn) / zoom, torch.sin(turn) / zoom
    aspect = width / height
    return torch.stack(
        [
            torch.stack([cosine, -sine / aspect, -2 * columns / width], dim=-1),
            torch.stack([sine * aspect, cosine, -2 * rows / height], dim=-1),
        ],
        dim=1,
    )
