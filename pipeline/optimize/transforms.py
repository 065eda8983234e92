"""What a picture must survive: a random shift, zoom and turn, as one fused warp per picture and step.

One resampling holds jitter, scale, rotation and the resize to the model's input; a chain of separate transforms blurs
at every link and costs more. Each picture's warps come from its own generator, so that batch mates never matter. What
falls outside is grey, before the model's own normalization.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.config.recipe import TransformConfig

GREY = 0.5


def draw_warps(config: TransformConfig, generators: Sequence[torch.Generator], steps: int) -> Tensor:
    """Return (steps, batch, 4): shift in rows and columns (pixels), zoom factor, turn in radians."""
    drawn = torch.stack([torch.rand(steps, 4, generator=generator) for generator in generators], dim=1)
    symmetric = drawn * 2 - 1
    zoom = config.scale_min + drawn[..., 2] * (config.scale_max - config.scale_min)
    turn = symmetric[..., 3] * torch.deg2rad(torch.tensor(config.rotate_degrees))
    shift = symmetric[..., :2] * config.jitter_px
    return torch.stack([shift[..., 0], shift[..., 1], zoom, turn], dim=-1)


def warp(images: Tensor, warps: Tensor, *, height: int, width: int) -> Tensor:
    """Return `images` (batch, channels, h, w) on 0..1, warped by `warps` (batch, 4) and resized to (height, width)."""
    size = images.shape[-2:]
    # A picture larger than the input is warped at its own size, then averaged down: sampling would skip pixels.
    shrinks = size[0] > height or size[1] > width
    target = size if shrinks else (height, width)
    grid = F.affine_grid(_matrices(warps, *size), [*images.shape[:2], *target], align_corners=False)
    moved = F.grid_sample(images - GREY, grid, mode="bilinear", padding_mode="zeros", align_corners=False) + GREY
    return resize(moved, height=height, width=width) if shrinks else moved


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
