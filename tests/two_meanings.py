"""A network with a unit of two meanings, and images for it: channel 0 of `upper` is large on red and on blue ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

RED, GREEN, BLUE = range(3)
"""Channels of `lower`, each with its colour, and the colours' places in an image."""


class TwoMeanings(nn.Module):
    """16 x 16 images to 1 class. Between the last two layers stands a normalization that is no module."""

    def __init__(self) -> None:
        super().__init__()
        self.lower = nn.Conv2d(3, 4, 3, padding=1)
        self.act = nn.ReLU()
        self.upper = nn.Conv2d(4, 2, 3, padding=1)
        self.normed = nn.Conv2d(2, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        upper = self.upper(self.act(self.lower(images)))
        y: Tensor = self.normed(nn.functional.layer_norm(upper, upper.shape[1:])).mean((2, 3))
        return y


def build() -> nn.Module:
    """Return the network with the same weights every time: `upper:0` is relu(red) + relu(blue), `upper:1` green."""
    model = TwoMeanings()
    smooth = torch.tensor([0.25, 0.5, 0.25])
    kernel = smooth[:, None] * smooth
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.zero_()
        for colour in (RED, GREEN, BLUE):  # more of one colour than of the two others
            for other in (RED, GREEN, BLUE):
                model.lower.weight[colour, other] = kernel * (1.0 if other == colour else -0.5)
        model.lower.weight[3] = 0.1 * kernel
        model.upper.weight[0, RED], model.upper.weight[0, BLUE] = kernel, kernel
        model.upper.weight[1, GREEN] = kernel
        model.upper.weight[:, 3] = 0.02 * kernel
        model.normed.weight[0, :, 0, 0] = torch.tensor([1.0, 0.5])
    return model.eval().requires_grad_(False)


def write_images(folder: Path, each: int = 8) -> Path:
    """Write noisy images with spots of one colour, as many of each, and return their folder."""
    generator = np.random.default_rng(0)
    for colour, name in enumerate(("red", "green", "blue")):
        for number in range(each):
            pixels = generator.integers(60, 120, (16, 16, 3), dtype=np.uint8)
            top, left = generator.integers(1, 7, 2)
            pixels[top : top + 8, left : left + 8, colour] = 215 + 3 * number
            Image.fromarray(pixels).save(folder / f"{name}_{number}.png")
    return folder
