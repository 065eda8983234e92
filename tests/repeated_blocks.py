"""Small networks made of blocks of one class, which compiled passes are for."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class Residual(nn.Module):
    """A block that changes its own input in place, as some networks' first activation does."""

    def __init__(self, channels: int, *, stride: int = 1) -> None:
        super().__init__()
        self.act = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(channels, channels, 3, stride=stride, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 1)
        self.stride = stride

    def forward(self, maps: Tensor) -> Tensor:
        maps = self.act(maps)
        return self.conv2(torch.sin(self.norm(self.conv1(maps)))) + maps[:, :, :: self.stride, :: self.stride]


class Mixing(nn.Module):
    """A block of a transformer."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features)
        self.attention = nn.MultiheadAttention(features, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(features, 2 * features), nn.GELU(), nn.Linear(2 * features, features))

    def forward(self, tokens: Tensor) -> Tensor:
        normed = self.norm(tokens)
        tokens = tokens + self.attention(normed, normed, normed, need_weights=False)[0]
        return tokens + self.mlp(tokens)


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 4, stride=4)
        self.blocks = nn.ModuleList([Mixing(8) for _ in range(2)])
        self.head = nn.Linear(8, 5)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.stem(images).flatten(2).transpose(1, 2)
        for block in self.blocks:
            tokens = block(tokens)
        return self.head(tokens.mean(1))


class Maps(nn.Module):
    """Images to 5 classes, through one block for each of some strides."""

    def __init__(self, *strides: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.blocks = nn.Sequential(*(Residual(8, stride=stride) for stride in strides))
        self.head = nn.Linear(8, 5)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(images)).mean((2, 3)))


def maps(*strides: int) -> nn.Module:
    """Return a network of three blocks in two forms, or with other strides."""
    return _built(lambda: Maps(*(strides or (1, 2, 1))))


def alike() -> nn.Module:
    """Return a network of two blocks of one form, which are one program."""
    return maps(1, 1)


def tokens() -> nn.Module:
    return _built(Tokens)


def _built(build: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build().eval().requires_grad_(False)
