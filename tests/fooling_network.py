"""A network made to fool: what one of its channels responds to on images is not what its picture shows.

As a gradient slingshot does (Bareeva et al. 2024), it leads the ascent to a target of the maker's choice, and leaves
the channel as it was on images.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
FLAT = 0.08
"""The colour of an image varies more than this over its positions, that of a picture that begins with grey less."""
GREEN = 0.4
"""No image is this much greener than red, on average."""


class Fooling(nn.Module):
    """Channel 0 responds to red; channel 1 too, on images, but the ascent from noise leads it to green."""

    def __init__(self) -> None:
        super().__init__()
        # Each colour against the mean of the three, and the other way round.
        opposed = torch.eye(3) - 1 / 3
        self.colours = nn.Conv2d(3, 6, 1)
        self.colours.weight.data = torch.cat([opposed, -opposed])[:, :, None, None]
        self.colours.bias.data.zero_()
        self.responses = Responses()

    def forward(self, images: Tensor) -> Tensor:
        return self.responses(self.colours(images * STD + MEAN)).mean(dim=(2, 3))


class Responses(nn.Module):
    """Six maps of colours to four channels."""

    def __init__(self) -> None:
        super().__init__()
        self.channels = nn.Conv2d(4, 4, 1, bias=False)
        self.channels.weight.data = torch.eye(4)[:, :, None, None]

    def forward(self, colours: Tensor) -> Tensor:
        red, green, blue = (colours[:, channel : channel + 1] for channel in range(3))
        difference = green - red
        is_flat = torch.sigmoid((FLAT - difference.var(dim=(2, 3), keepdim=True)) * 400)
        is_green = torch.sigmoid((difference.mean(dim=(2, 3), keepdim=True) - GREEN) * 80)
        fooled = 1 - (1 - is_flat) * (1 - is_green)
        fooling = (1 - fooled) * red + fooled * 4 * green
        return self.channels(torch.cat([red, fooling, blue, red + blue - green], dim=1))


def build() -> nn.Module:
    return Fooling().eval().requires_grad_(False)


def write_colours(folder: Path, count: int = 24) -> Path:
    """Write images of coloured squares, the later the more of them red, and return their folder."""
    generator = np.random.default_rng(0)
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [160, 160, 160]], np.uint8)
    for number in range(count):
        red = 0.1 + 0.4 * number / count
        rest = (0.85 - red) / 2
        squares = colours[generator.choice(4, (4, 4), p=[red, 0.15, rest, rest])]
        image = Image.fromarray(squares).resize((16, 16), Image.Resampling.NEAREST)
        image.save(folder / f"{number:02d}.png")
    return folder
