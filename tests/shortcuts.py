"""A small residual network with normalizations, a shortcut, and a module that shuffles channels."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Block(nn.Module):
    """A residual block whose sum no activation follows."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(6, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.act = nn.SiLU(inplace=True)
        self.conv2 = nn.Conv2d(8, 6, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.conv2(self.act(self.bn1(self.conv1(x))))
        return y


class Shortcut(nn.Module):
    """16 x 16 images to 4 classes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.act = nn.ReLU6()
        self.block = Block()
        self.next = nn.Conv2d(6, 5, 3, stride=2, padding=1)
        self.mixed = nn.Conv2d(5, 4, 1)
        self.shuffle = nn.ChannelShuffle(2)
        self.last = nn.Conv2d(4, 4, 1)

    def forward(self, images: Tensor) -> Tensor:
        x = self.next(self.block(self.act(self.stem(images))))
        y: Tensor = self.last(self.shuffle(self.mixed(x))).mean((2, 3))
        return y


def build(seed: int = 3) -> nn.Module:
    """Return the network with the same weights every time; channel 3 of `next` is 2 A - B of its layer below."""
    generator = torch.Generator().manual_seed(seed)
    model = Shortcut()
    with torch.no_grad():
        for tensor in [*model.parameters(), model.block.bn1.running_mean]:
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.5)
        model.block.bn1.running_var.copy_(torch.rand(8, generator=generator) + 0.5)
        model.next.weight[3] = 0.0
        model.next.weight[3, 4, 1, 1], model.next.weight[3, 1, 1, 1] = 2.0, -1.0
    return model.eval().requires_grad_(False)
