"""ResNet-20 for CIFAR-10 (He et al. 2016), whose shortcuts leave out positions and add channels of zeros."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class Shortcut(nn.Module):
    """Every second position, with as many channels again of zeros, half of them before the others."""

    def forward(self, maps: Tensor) -> Tensor:
        more = maps.shape[1] // 2
        return F.pad(maps[:, :, ::2, ::2], (0, 0, 0, 0, more, more))


class Block(nn.Module):
    """Two convolutions and what goes around them."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        stride = 1 if inputs == outputs else 2
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential() if stride == 1 else Shortcut()

    def forward(self, maps: Tensor) -> Tensor:
        inner = F.relu(self.bn1(self.conv1(maps)))
        return F.relu(self.bn2(self.conv2(inner)) + self.shortcut(maps))


class ResNet20(nn.Module):
    """Three groups of three blocks, with 16, 32 and 64 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        for number, (inputs, outputs) in enumerate([(16, 16), (16, 32), (32, 64)], start=1):
            blocks = [Block(inputs, outputs), Block(outputs, outputs), Block(outputs, outputs)]
            setattr(self, f"layer{number}", nn.Sequential(*blocks))
        self.linear = nn.Linear(64, 10)

    def forward(self, images: Tensor) -> Tensor:
        maps = F.relu(self.bn1(self.conv1(images)))
        maps = self.layer3(self.layer2(self.layer1(maps)))
        return self.linear(maps.mean((2, 3)))


def build() -> nn.Module:
    """Return the network with random weights, in evaluation mode."""
    return ResNet20().eval()
