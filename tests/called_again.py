"""Small networks whose modules run more than once in a forward pass."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Residual(nn.Module):
    """A residual block with one activation, in place, for both of its sums, as those of torchvision."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels)
        self.conv2, self.norm2 = nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, maps: Tensor) -> Tensor:
        inner = self.relu(self.norm1(self.conv1(maps)))
        out: Tensor = self.relu(self.norm2(self.conv2(inner)) + maps)
        return out


class Residuals(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.blocks = nn.Conv2d(3, 6, 3, padding=1), nn.Sequential(Residual(6), Residual(6))
        self.head = nn.Linear(6, 5)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.blocks(self.stem(images)).mean((2, 3)))
        return logits


class Pyramid(nn.Module):
    """A convolution and a block that are shared by the levels of a pyramid: each call has maps of another size."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.act, self.down = nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2)
        self.shared, self.tower = nn.Conv2d(6, 8, 3, padding=1), nn.Sequential(nn.Conv2d(8, 4, 1), nn.ReLU())
        self.head = nn.Linear(12, 5)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.act(self.stem(images))
        levels = []
        for _ in range(3):
            levels.append(self.tower(self.shared(maps)).mean((2, 3)))
            maps = self.down(maps)
        logits: Tensor = self.head(torch.cat(levels, 1))
        return logits


class Loop(nn.Module):
    """A step that runs five times on its own output, as a recurrent network's does."""

    def __init__(self, steps: int = 5) -> None:
        super().__init__()
        self.steps = steps
        self.stem, self.step, self.head = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(12, 6, 3, padding=1), nn.Linear(6, 5)

    def forward(self, images: Tensor) -> Tensor:
        state = start = self.stem(images)
        for _ in range(self.steps):
            state = functional.relu(self.step(torch.cat([start, state], 1)))
        logits: Tensor = self.head(state.mean((2, 3)))
        return logits


class OtherwiseNamed(nn.Module):
    """Has a module with the name that the second call of another would have, and one that is called like the output."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 3, 3, padding=1), nn.Linear(6, 5)
        self.add_module("conv#2", nn.Conv2d(3, 6, 1))
        self.output = nn.Tanh()

    def forward(self, images: Tensor) -> Tensor:
        maps = self.get_submodule("conv#2")(self.output(self.conv(self.output(self.conv(images)))))
        logits: Tensor = self.head(maps.mean((2, 3)))
        return logits


class Itself(nn.Module):
    """Runs itself on smaller images first."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.conv(images).mean((2, 3))
        return logits + self(images[:, :, ::2, ::2]) if images.shape[-1] > 8 else logits


class WayOut(nn.Module):
    """Takes another way than a recorded one for bright images, behind the second call of its activation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm1, self.relu = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU()
        self.conv2, self.norm2 = nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.conv3, self.norm3, self.head = nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6), nn.Linear(6, 5)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.relu(self.norm2(self.conv2(self.relu(self.norm1(self.conv1(images))))))
        maps = self.conv3(maps)
        if float(images.detach().abs().amax()) > 100:
            maps = maps + 1.0
        logits: Tensor = self.head(self.relu(self.norm3(maps)).mean((2, 3)))
        return logits
